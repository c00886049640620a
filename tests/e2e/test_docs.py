"""The examples of the documentation run as they stand, each by itself: whatever is added is found here by itself."""

import ast
import doctest
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.server import free_port

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
SOURCES = [ROOT / "firehot_server" / "environment.py"]

# What the examples name, beside `app:app`, which the fixture `project` has.
PACKAGE = {"my_package/__init__.py": "import click\n", "my_package/reports.py": "import click.testing\n"}

# Runs a block as a script, on a port that is free.
ON_PORT = """
import functools, runpy, firehot_server
firehot_server.run = functools.partial(firehot_server.run, port=int(open("port.txt").read()))
runpy.run_path("example.py", run_name="__main__")
"""


@dataclass(frozen=True)
class Block:
    """One example: where it is, what it says."""

    path: Path
    line: int
    source: str

    def __str__(self):
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def starts_server(self):
        """It calls `firehot_server.run`, and ends by Ctrl-C only."""
        calls = (node.func for node in ast.walk(ast.parse(self.source)) if isinstance(node, ast.Call))
        return any(ast.unparse(call) == "firehot_server.run" for call in calls)

    @property
    def file(self):
        """The file that it is, beside others of one example; the first line says so."""
        named = re.match(r"# ([\w/]+\.py)$", self.source, re.MULTILINE)
        return named and named[1]

    @property
    def promises(self):
        """What it says that it prints: comments behind `print(...)`, where `*` stands for anything."""
        return re.findall(r"^ *print\(.*\)  # (.+)$", self.source, re.MULTILINE)


def fenced(path):
    """The blocks marked as Python, in a page or, indented, in docstrings."""
    text = path.read_text()
    for found in re.finditer(r"^( *)```python\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL):
        yield Block(path, text[: found.start()].count("\n") + 2, textwrap.dedent(found[2]))


def inline_calls(path):
    """Calls of `firehot_server.run` within a sentence."""
    text = path.read_text()
    for found in re.finditer(r"`(firehot_server\.run\(.+?\))`", text):
        yield Block(path, text[: found.start()].count("\n") + 1, f"import firehot_server\n{found[1]}\n")


BLOCKS = [block for page in PAGES for block in [*fenced(page), *inline_calls(page)]]
DOCSTRINGS = [block for source in SOURCES for block in fenced(source)]


def ids(blocks):
    return {"argvalues": blocks, "ids": [str(block) for block in blocks]}


@pytest.fixture
def script(project):
    """Runs Python in a folder that has what the examples name; it is not the repository's."""
    for name, source in PACKAGE.items():
        project.write(name, source)

    def run(source):
        path = project.write("example.py", source)
        return subprocess.run(
            [sys.executable, path.name],
            cwd=project.folder,
            env={**os.environ, "PYTHONPATH": "", "PYTHONUNBUFFERED": ""},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60,
        )

    return run


def check_output(block, printed):
    """Each promised line is printed, in this order; other lines may be between them."""
    lines = iter(printed.splitlines())
    for promise in block.promises:
        pattern = re.escape(promise).replace(r"\*", ".*")
        assert any(re.fullmatch(pattern, line) for line in lines), (promise, printed)


@pytest.mark.parametrize("block", **ids([block for block in BLOCKS if not block.starts_server and not block.file]))
def test_example_runs(block, script):
    """To its end, without a word on stderr, and prints what its comments say."""
    result = script(block.source)
    assert (result.returncode, result.stderr) == (0, "")
    check_output(block, result.stdout)


@pytest.mark.parametrize("block", **ids([block for block in BLOCKS if block.starts_server]))
def test_example_serves(block, serve, project):
    """Until Ctrl-C; an edit is served."""
    project.write("example.py", block.source)
    server = serve(module=[sys.executable, "-c", ON_PORT])
    assert server.text() == "one"
    project.say("two")
    server.wait_generation(2)
    assert server.text() == "two"


def test_the_integration_serves(serve, project):
    """The files of the page, installed beside a project of the reader's."""
    files = {block.file: block.source for block in BLOCKS if block.file}
    assert sorted(files) == ["tiny.py", "tiny_develop/__main__.py", "tiny_develop/application.py"]
    for name, source in files.items():
        project.write(f"site-packages/{name}", source)
    project.write("blog.py", "import os\ndef index(): return f'one {os.environ.get(\"TINY_PAGES\")}'\n")
    port = free_port()
    server = serve(
        module=[sys.executable, "-m", "tiny_develop", "blog", str(port)],
        listen=False,
        environment={"PYTHONPATH": str(project.folder / "site-packages")},
    )
    server.port = port

    assert server.text() == "one None"
    project.write("blog.py", "1 / 0\n")
    server.wait_generation(2)
    assert "tiny_develop" not in server.get().text
    project.write("blog.py", "def index(): return 'two'\n")
    server.wait_generation(3)
    assert server.text() == "two"
    assert server.log.count("tiny serves blog") == 1
    assert re.search("Preloaded .*: tiny_develop", server.log)


@pytest.mark.parametrize("block", **ids(DOCSTRINGS))
def test_docstring_example_runs(block, script):
    """With the import that a docstring leaves out."""
    result = script(f"from firehot_server import isolate_imports\n{block.source}")
    assert (result.returncode, result.stderr) == (0, "")


def test_the_central_example(script):
    """Three processes, none of them the caller; one template, as nothing has changed."""
    (block,) = [block for block in BLOCKS if "context3" in block.source]
    result = script(block.source)
    found = re.findall(r"^Running with value: (\d) \(pid: (\d+), parent_pid: (\d+)\)$", result.stdout, re.MULTILINE)
    assert sorted(value for value, _, _ in found) == ["1", "2", "3"]
    assert len({pid for _, pid, _ in found}) == 3
    assert len({parent for _, _, parent in found}) == 1
    assert {pid for _, pid, _ in found}.isdisjoint(parent for _, _, parent in found)


def test_no_example_is_passed_over():
    """Every fence that opens closes; every example of Python is marked as such, or found as a docstring's."""
    assert BLOCKS
    assert DOCSTRINGS
    assert any(block.starts_server for block in BLOCKS)
    for path in [*PAGES, *SOURCES]:
        assert len(list(fenced(path))) == path.read_text().count("```python")
    for source in SOURCES:
        assert not doctest.DocTestParser().get_examples(source.read_text()), "run these, too"


def test_what_is_promised_is_looked_for():
    """A wrong comment is a failure; a star stands for anything, brackets for themselves."""
    block = Block(ROOT / "x.md", 1, "print(f())  # [1, 2]\nprint(g())  # in process *\n")
    check_output(block, "[1, 2]\nother\nin process 3\n")
    for printed in ("", "[1, 2]\n", "1\nin process 3\n", "in process 3\n[1, 2]\n"):
        with pytest.raises(AssertionError):
            check_output(block, printed)
