"""What the documentation names exists: commands, options, variables, targets, files and headings."""

import itertools
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from firehot_django.management.commands.runserver import Command
from firehot_flask.command import command as flask_command
from flask.cli import cli as flask_cli

import firehot_server
from firehot_server import Environment, Service, cli

ROOT = Path(__file__).parents[2]
PAGES = {str(path.relative_to(ROOT)): path.read_text() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]}
PAGES["sample_app/README.md"] = (ROOT / "sample_app" / "README.md").read_text()
SOURCE = "\n".join(path.read_text() for path in (ROOT / "firehot_server").glob("**/*.py"))

OPTIONS = {option for parameter in cli.command.params for option in parameter.opts}
FLASK_OPTIONS = {
    option
    for command in (flask_cli, flask_command)
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
}
DJANGO_OPTIONS = set(Command().create_parser("manage.py", "runserver")._option_string_actions)
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
ENTRY_POINTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
A_READER_S_OWN = ("shop.",)
VARIABLE = re.compile(r"\bFIREHOT_[A-Z_]+")

every_page = pytest.mark.parametrize("page", sorted(PAGES))


# -- commands


def commands(text):
    """Lines of shell: indented by four, behind a dollar, or beginning a piece of code within a sentence."""
    fences = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = re.findall(r"^\$ (.+)$", "\n".join(fences), re.MULTILINE)
    lines += re.findall(r"^    (\S.*)$", prose, re.MULTILINE)
    lines += re.findall(r"`((?:make|pip|python|docker|flask|firehot-uvicorn) [^`]+)`", prose)
    return [shlex.split(line, comments=True) for line in lines]


def missing_for(command):
    """What this command names that there is not."""
    words = list(itertools.dropwhile(re.compile(r"[A-Z_]+=").match, command))
    match words:
        case ["make", *targets]:
            return [target for target in targets if target not in TARGETS]
        case ["python", "-m"]:
            return []
        case ["python", "-m", module, *_]:
            return [] if is_module(module) else [module]
        case ["python", "manage.py", "runserver", *arguments]:
            return unknown_options(arguments, DJANGO_OPTIONS)
        case ["flask", *arguments] if {"run", "firehot"} & {*arguments}:
            return unknown_options(arguments, FLASK_OPTIONS)
        case ["pip", "install", *arguments]:
            return [name for name in arguments if not name.startswith("-") and not (ROOT / name).exists()]
        case ["docker", "compose", *arguments]:
            return missing_paths("-f", arguments)
        case [command, *arguments] if command in ENTRY_POINTS:
            return [*unknown_options(arguments), *missing_paths("--reload-dir", arguments)]
    return words


def unknown_options(arguments, known=OPTIONS):
    names = [argument.partition("=")[0] for argument in arguments]
    return [name for name in names if name.startswith("-") and name not in known]


def missing_paths(option, arguments):
    pairs = itertools.pairwise(arguments)
    return [value for name, value in pairs if name == option and not (ROOT / value).exists()]


def is_module(name):
    """One of this repository that can be run."""
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__main__.py").exists() or name.startswith(A_READER_S_OWN)


@every_page
def test_commands_exist(page):
    """With their options, targets, modules and files."""
    missing = {shlex.join(command): missing_for(command) for command in commands(PAGES[page])}
    assert not {command: words for command, words in missing.items() if words}


def test_commands_are_found():
    """All three forms; but code is no shell, and what a command prints is none."""
    text = (
        "Text:\n\n    make run   # serves\n\n```\n$ FIREHOT_X=1 python -m a.b\nINFO\n```\n\nor `pip install .`, `x y`"
    )
    python = '\n```python\ndef f():\n    return "it\'s"\n```\n'
    assert sorted(commands(text + python)) == [
        ["FIREHOT_X=1", "python", "-m", "a.b"],
        ["make", "run"],
        ["pip", "install", "."],
    ]
    assert len(commands(PAGES["README.md"])) > 5


@pytest.mark.parametrize(
    "line",
    [
        "make nosuch",
        "firehot-uvicorn app:app --no-such-option",
        "firehot-uvicorn app:app --reload-dir nosuch",
        "python -m nosuch",
        "python -m firehot_server.nosuch",
        "pip install -r nosuch.txt",
        "firehot-nosuch",
        "docker compose -f nosuch.yaml up",
        "python manage.py runserver --no-such-option",
        "flask run --no-such-option",
        "flask --app app nosuch",
    ],
)
def test_what_does_not_exist_is_noticed(line):
    """In each of the forms."""
    assert missing_for(shlex.split(line))
    assert missing_for(["FIREHOT_X=1", *shlex.split(line)])


# -- what sentences and tables name


@every_page
def test_options_exist(page):
    """`--...`: of the command, or of a framework's that the page is about."""
    known = set(OPTIONS)
    known |= DJANGO_OPTIONS if "runserver" in PAGES[page] else set()
    known |= FLASK_OPTIONS if "flask run" in PAGES[page] else set()
    assert set(re.findall(r"`(--[a-z0-9-]+)", PAGES[page])) <= known


@every_page
def test_variables_exist(page):
    """`FIREHOT_...`: in the source."""
    assert set(VARIABLE.findall(PAGES[page])) <= set(VARIABLE.findall(SOURCE))


@every_page
def test_files_exist(page):
    """Source files whose path is given, from here or from the package."""
    names = re.findall(r"`([\w.]+/[\w/.]+\.(?:py|md|txt|toml))`", PAGES[page])
    folders = [ROOT, ROOT / "firehot_server", (ROOT / page).parent]
    assert not [name for name in names if not any((folder / name).exists() for folder in folders)]


@every_page
def test_links_lead_somewhere(page):
    """To a file, and to a heading if one is named."""
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        file, _, heading = target.partition("#")
        there = ((ROOT / page).parent / file).resolve() if file else ROOT / page
        assert "://" in target or there.exists(), target
        assert not heading or "://" in target or heading in headings(there.read_text()), target


def headings(text):
    """As GitHub makes anchors of them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_all_of_the_engine_is_described():
    """Its public names, the methods, and what they take."""
    page = PAGES["docs/engine.md"]
    theirs = ("run", "FirehotReload", "Service", "serve", "generation", "NoFork")  # of the server, and of integrations
    methods = [name for name in vars(Environment) if not name.startswith("_")]
    parameters = ["ignored_modules", "timeout", "process_uuid", "process_name", "pid", "status", "type_name", "message"]
    names = [name for name in firehot_server.__all__ if name not in theirs] + methods + parameters
    assert not [name for name in names if not re.search(rf"\b{name}\b", page)]


def test_all_of_the_seam_is_described():
    """What an integration uses, and all that a service may say."""
    page = PAGES["docs/integrations.md"]
    names = ["Service", "serve", "generation", "NoFork", *Service.__dataclass_fields__]
    assert not [name for name in names if not re.search(rf"`(firehot_server\.)?{name}(\(\))?`", page)]
