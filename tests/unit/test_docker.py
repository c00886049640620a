"""`integrations/docker`: what its two files name exists, and they agree with each other and with the command."""

import re
import tomllib
from pathlib import Path

import pytest

from firehot_server import cli
from tests.support.docker import COMPOSE, DOCKERFILE, FOLDER, ROOT, SERVICES, command, health_check, instructions

apps = pytest.mark.parametrize("name", ["app", "synced"])


def options():
    """As the command takes them."""
    return cli.command.make_context("firehot-uvicorn", command()[1:]).params


def checked_url(name):
    """The one that a health check asks for."""
    (url,) = re.findall(r"http://[^']+", health_check(name)[-1])
    return url


def copies():
    """Pairs of sources and target."""
    for line in instructions("COPY"):
        *sources, target = [word for word in line.split() if not word.startswith("--")]
        yield sources, target


def test_what_is_copied_exists():
    """From the build's context."""
    sources = [source for sources, _ in copies() for source in sources]
    assert sources
    assert not [source for source in sources if not (ROOT / source).exists()]


def test_the_package_is_complete():
    """All that the project's own metadata names is there when it is installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [
        "pyproject.toml",
        project["project"]["readme"],
        *project["project"]["license-files"],
        *project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"],
    ]
    (target,) = [word for line in instructions("RUN") for word in line.split() if word.startswith("/opt/")][:1]
    copied = [source for sources, place in copies() if place.startswith(target) for source in sources]
    assert not [path for path in needed if not any(path == c or path.startswith(f"{c}/") for c in copied)]


def test_the_command_is_one_that_there_is():
    """With options that it takes, an app that exists, and a reload."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert command()[0] in project["scripts"]
    taken = options()
    module, _, _ = taken["app"].partition(":")
    assert (ROOT / f"{module.replace('.', '/')}.py").exists()
    assert taken["reload"]
    assert all((ROOT / folder).is_dir() for folder in taken["reload_dirs"])


def test_it_can_be_reached_from_outside():
    """On every address of the container; a published port leads to one of loopback only."""
    assert options()["host"] == "0.0.0.0"
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["app"]["ports"])


@apps
def test_ports_agree(name):
    """Of the command, the image, the publication and the health check."""
    port = str(options()["port"])
    assert instructions("EXPOSE") == [port]
    assert [published.rpartition(":")[2] for published in SERVICES[name]["ports"]] == [port]
    assert checked_url(name).startswith(f"http://127.0.0.1:{port}/")


@apps
def test_the_image_is_built_from_here(name):
    """By the Dockerfile beside it."""
    build = SERVICES[name]["build"]
    context = (FOLDER / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).samefile(FOLDER / "Dockerfile")


def folders(name):
    """Folder of the repository → where a service has it, by mount or by synchronisation."""
    service = SERVICES[name]
    mounts = [volume.split(":") for volume in service["volumes"] if volume.startswith(".")]
    synced = [(w["path"], w["target"]) for w in service.get("develop", {}).get("watch", []) if w["action"] == "sync"]
    return {(FOLDER / source).resolve(): target for source, target in [*mounts, *synced]}


@apps
def test_the_code_of_the_image_is_what_is_edited(name):
    """Either way it takes the place of the copy that the image has; not both ways, which exclude each other."""
    (workdir,) = instructions("WORKDIR")
    (code,) = [(sources, target) for sources, target in copies() if not target.startswith("/")]
    assert folders(name) == {ROOT / code[0][0]: f"{workdir}/{code[1]}"}
    assert [w["action"] for w in SERVICES["synced"]["develop"]["watch"]].count("sync") == 1
    assert "develop" not in SERVICES["app"]


def test_what_is_watched_exists():
    """Files of which the image is made anew."""
    assert not [w for w in SERVICES["synced"]["develop"]["watch"] if not (FOLDER / w["path"]).exists()]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_volumes_are_declared(name):
    """Those with a name."""
    named = {volume.partition(":")[0] for volume in SERVICES[name]["volumes"] if not volume.startswith(".")}
    assert named <= set(COMPOSE["volumes"])


@apps
def test_folders_that_are_written_belong_to_the_user(name):
    """A volume begins as the folder of the image is: else only root could write it."""
    (run,) = [line for line in instructions("RUN") if "useradd" in line]
    written = [volume.rpartition(":")[2] for volume in SERVICES[name]["volumes"] if not volume.startswith(".")]
    assert instructions("USER")[-1] == re.search(r"--owner (\w+)", run)[1]
    assert not [folder for folder in written if folder not in run.split()]
    (database,) = re.findall(r"SAMPLE_APP_DATABASE=(\S+)", DOCKERFILE)
    assert str(Path(database).parent) in written


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_service_has_a_health_check(name):
    """And waits for those that it needs to pass theirs."""
    assert health_check(name)
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        assert wanted == {"condition": "service_healthy"}
        assert other in SERVICES


@apps
def test_the_database_is_the_one_beside_it(name):
    """Host, name, user and password."""
    url = SERVICES[name]["environment"]["DATABASE_URL"]
    user, password, host, database = re.fullmatch(r"postgresql://(\w+):(\w+)@(\w+):5432/(\w+)", url).groups()
    given = SERVICES[host]["environment"]
    assert (given["POSTGRES_USER"], given["POSTGRES_PASSWORD"], given["POSTGRES_DB"]) == (user, password, database)


def test_one_of_the_two_is_started_unasked():
    """They publish the same port."""
    assert "profiles" not in SERVICES["app"]
    assert SERVICES["synced"]["profiles"] == ["synced"]
