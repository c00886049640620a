"""What the read log costs: the same import with it and without it, taking turns, each in a fresh process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

from . import log_driver
from .generated import LARGE
from .log_report import LogRow, Times
from .report import OURS
from .servers import SERVERS, environment_variables

if TYPE_CHECKING:
    from pathlib import Path

    from .settings import Settings

APP = LARGE[0]
"""Most of its import is the project's own: 304 files."""

PRELOAD = ("fastapi", "sqlalchemy.orm")

PAIRS = 5
"""Imports each way in a round."""

DEADLINE = 60.0
"""Seconds for one import."""


def measure(settings: Settings) -> LogRow:
    """Once each way unmeasured, so that the bytecode of both is there; then in turns, as often first as second."""
    row = LogRow(APP.name)
    folder = settings.scratch / "log"
    APP.write(folder / "project")
    ways = [(False, row.without), (True, row.logged)]
    for is_logged, _ in ways:
        _import(folder, settings, is_logged=is_logged)
    for pair in range(settings.rounds * PAIRS):
        for is_logged, times in ways if pair % 2 else reversed(ways):
            times.append(_import(folder, settings, is_logged=is_logged))
    return row


def _import(folder: Path, settings: Settings, *, is_logged: bool) -> Times:
    """One, without the start of its process."""
    environment = settings.environment(SERVERS[OURS])
    ours, theirs = socket.socketpair()
    listener = threading.Thread(target=_drain, args=(ours,))
    listener.start()
    try:
        with theirs:
            channel = theirs.fileno() if is_logged else None
            task = log_driver.Task("app", PRELOAD, str(folder / "bytecode"), channel)
            output = subprocess.run(
                [str(environment.scripts / "python"), "-P", log_driver.__file__, json.dumps(asdict(task))],
                cwd=folder / "project",
                env=environment_variables(environment, folder / "cache", os.environ),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=DEADLINE,
                check=True,
            ).stdout
    finally:
        listener.join()
    return Times(*map(float, output.split()))


def _drain(channel: socket.socket) -> None:
    """In the place of the supervisor."""
    with channel:
        while channel.recv(1 << 16):
            pass
