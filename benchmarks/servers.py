"""The servers: which command each one is, how it is started, and how it is ended with all its children.

And the libraries, which are compared as such: what is measured of them is in `engine`.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .catalogue import all_requirements
from .environments import ROOT, Recipe
from .packages import ADDED_REQUIREMENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from .apps import App
    from .environments import Environment

_UVICORN = "uvicorn[standard]==0.54.0"

OURS = Recipe("firehot", (_UVICORN, ADDED_REQUIREMENT, *all_requirements()), source=ROOT)
PEERS = Recipe("peers", (_UVICORN, "granian[reload]==2.8.7", "hypercorn==0.18.0", *all_requirements()))
LIBRARY = Recipe("library", ("firehot==0.5.2", ADDED_REQUIREMENT, *all_requirements()), below=(3, 14))
HMR = Recipe("hmr", (_UVICORN, "uvicorn-hmr==0.1.1.8", *all_requirements()), minimum=(3, 12))

_ESCALATION = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
_PATIENCE_FOR_CHILDREN = 2.0
"""Seconds that children may live on after their server has ended, before they get the next signal."""


@dataclass(frozen=True)
class Server:
    """A server with its reloader, started as its documentation says, `{port}` and `{target}` filled in.

    One without a command is a framework's own: the apps that it serves have the command.
    """

    name: str
    distribution: str
    recipe: Recipe
    command: tuple[str, ...] = ()

    def command_for(self, app: App) -> tuple[str, ...]:
        """How it is started on an app; nothing if it does not serve that one."""
        return app.served_by.get(self.name, ()) if app.served_by else self.command


SERVERS = {
    server.name: server
    for server in (
        Server(
            "firehot",
            "firehot-server",
            OURS,
            ("firehot-uvicorn", "{target}", "--reload", "--port", "{port}"),
        ),
        Server("uvicorn", "uvicorn", PEERS, ("uvicorn", "{target}", "--reload", "--port", "{port}")),
        Server(
            "granian",
            "granian",
            PEERS,
            ("granian", "--interface", "asgi", "--reload", "--port", "{port}", "{target}"),
        ),
        Server("hypercorn", "hypercorn", PEERS, ("hypercorn", "--reload", "{target}", "-b", "127.0.0.1:{port}")),
        Server(
            "uvicorn-hmr",
            "uvicorn-hmr",
            HMR,
            ("uvicorn-hmr", "{target}", "--host", "127.0.0.1", "--port", "{port}"),
        ),
        Server("runserver", "django", PEERS),
        Server("flask", "flask", PEERS),
    )
}

WITHOUT_CHECKPOINTS = replace(
    SERVERS["firehot"],
    name="firehot-no-checkpoints",
    command=(*SERVERS["firehot"].command, "--no-checkpoints"),
)
"""Ours, with nothing to do at its start that only pays at a later edit."""


@dataclass(frozen=True)
class Library:
    """A library that isolates imports, by the name of the module that has its `isolate_imports`."""

    name: str
    distribution: str
    recipe: Recipe
    module: str


LIBRARIES = (
    Library("ours", "firehot-server", OURS, "firehot_server"),
    Library("firehot", "firehot", LIBRARY, "firehot"),
)


@dataclass(frozen=True)
class Launch:
    """Everything one start of a server needs. `user_cache` is where it may remember things between starts."""

    server: Server
    environment: Environment
    app: App
    folder: Path
    user_cache: Path
    log: Path


@dataclass(frozen=True)
class RunningServer:
    """A started server, not necessarily one that answers already. `started` is a `perf_counter` reading."""

    launch: Launch
    process: subprocess.Popen[bytes]
    port: int
    started: float

    def has_ended(self) -> bool:
        """Whether the command itself is gone; its children may still be there."""
        return self.process.poll() is not None


START_DEADLINE = 60.0
"""Seconds from a server's start to its first answer."""


def describe_failed_start(server: RunningServer) -> str:
    """Why there was no first answer, for a server that was waited for."""
    if server.has_ended():
        return f"ended before its first answer, status {server.process.returncode}"
    return f"no answer with status 200 within {START_DEADLINE:.0f} s of its start"


@contextmanager
def running(launch: Launch) -> Iterator[RunningServer]:
    """Start the server in a session of its own, and end it with all its children, whatever happens inside."""
    port = _free_port()
    command = [part.format(target=launch.app.target, port=port) for part in launch.server.command_for(launch.app)]
    command[0] = str(launch.environment.scripts / command[0])
    variables = environment_variables(launch.environment, launch.user_cache, os.environ)
    with running_command(launch.server.name, command, launch.folder, variables, launch.log) as (process, started):
        yield RunningServer(launch, process, port, started)


@contextmanager
def running_command(
    name: str, command: Sequence[str], folder: Path, variables: Mapping[str, str], log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Run it in a session of its own, and end it with all its children. Its start is a `perf_counter` reading."""
    folder.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process, started
    finally:
        stop(process, name)


def environment_variables(environment: Environment, user_cache: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The user's variables, without those that would steer a server or its Python."""
    foreign = ("PYTHON", "UVICORN_", "GRANIAN_", "FIREHOT", "DJANGO_", "FLASK_", "VIRTUAL_ENV", "WEB_CONCURRENCY")
    kept = {name: value for name, value in inherited.items() if not name.startswith(foreign)}
    return kept | {
        "PATH": os.pathsep.join([str(environment.scripts), inherited.get("PATH", os.defpath)]),
        "VIRTUAL_ENV": str(environment.folder),
        "XDG_CACHE_HOME": str(user_cache),
        # matplotlib lists the machine's fonts at its very first import: no part of what an empty cache costs.
        "MPLCONFIGDIR": str(environment.folder / "matplotlib"),
        "MPLBACKEND": "agg",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stop(process: subprocess.Popen[bytes], name: str) -> None:
    """Ask, then insist, then kill: each signal goes to the whole process group, as Ctrl-C does."""
    for number, patience in _ESCALATION:
        if not _signal_group(process.pid, number) or _group_ends_within(process, patience):
            return
        if number is not signal.SIGINT:
            print(f"{name} (pid {process.pid}) did not end at {number.name}", file=sys.stderr, flush=True)


def _group_ends_within(process: subprocess.Popen[bytes], patience: float) -> bool:
    deadline = time.monotonic() + patience
    leader_seen_ended = False
    while time.monotonic() < deadline:
        if process.poll() is not None and not leader_seen_ended:
            leader_seen_ended = True
            deadline = min(deadline, time.monotonic() + _PATIENCE_FOR_CHILDREN)
        if leader_seen_ended and not _signal_group(process.pid, 0):
            return True
        time.sleep(0.01)
    return False


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group in which only zombies are left
        return False
    return True
