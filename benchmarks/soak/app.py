"""The application under load. Every answer says which saves it has in it, and which process gave it."""

from __future__ import annotations

from ..apps import FIRST_VERSION, App

EDITED = ("models.py", "service.py", "views.py")
"""The files that are saved, in the order in which they are imported."""

_APP = """\
import asyncio
import hashlib
import os
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

import models
import service
import views

MODULES = (models, service, views)


def versions():
    # 0 is what a file shows that is being written.
    return "-".join(str(getattr(module, "VERSION", 0)) for module in MODULES)


def newest():
    return max(getattr(module, "VERSION", 0) for module in MODULES)


def headers(request):
    return {"x-versions": versions(), "x-pid": str(os.getpid()), "x-seq": request.query_params["seq"]}


def answer(request, **more):
    seq = int(request.query_params["seq"])
    return JSONResponse({"version": newest(), "seq": seq, **more}, headers=headers(request))


async def echo(request):
    return answer(request)


async def upload(request):
    length, digest = 0, hashlib.sha256()
    async for piece in request.stream():
        length += len(piece)
        digest.update(piece)
    return answer(request, length=length, digest=digest.hexdigest())


async def download(request):
    pieces, seconds = int(request.query_params["pieces"]), float(request.query_params["seconds"])

    async def lines():
        for number in range(pieces):
            await asyncio.sleep(seconds / pieces)
            yield f"{number} {versions()}\\n"

    return StreamingResponse(lines(), media_type="text/plain", headers=headers(request))


async def events(request):
    async def pulses():
        number = 0
        while True:
            yield f"data: {number} {versions()}\\n\\n"
            number += 1
            await asyncio.sleep(0.02)

    return StreamingResponse(pulses(), media_type="text/event-stream", headers=headers(request))


async def socket(websocket):
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(f"{text} {versions()}")


@asynccontextmanager
async def lifespan(app):
    for module in MODULES:
        if hasattr(module, "start"):
            module.start()
    yield


app = Starlette(
    routes=[
        Route("/echo", echo),
        Route("/upload", upload, methods=["POST"]),
        Route("/download", download),
        Route("/events", events),
        WebSocketRoute("/socket", socket),
    ],
    lifespan=lifespan,
)
"""

HALF = """\
VERSION = 0

from dataclasses import dataclass


def _make(number):
    @dataclass(frozen=True, order=True)
    class Record:
        number: int
        name: str
        tags: tuple[str, ...] = ()

    Record.__name__ = f"Record{number}"
    return Record


RECORDS = [_make(number) for number in range(5)]
"""
"""The first part of each edited file, valid as it is: classes, as projects have them, and a version that is none."""

_BREAKS = {
    "": "",
    "syntax": "VERSION = {version} +  # broken-{version}\n",
    "raises": 'raise RuntimeError("broken-{version}")\n',
    "missing": "import missing  # broken-{version}\n",
    "startup": 'def start():\n    raise RuntimeError("broken-{version}")\n',
}
BREAKS = tuple(filter(None, _BREAKS))
"""The ways in which a save can be broken: each failure that is shown for it names the version."""


def source(version: int, broken: str = "", padding: int = 0) -> str:
    """The text of an edited file. `padding` makes its size another; `broken` is one of `BREAKS`, or empty."""
    return f"{HALF}VERSION = {version}  #{'~' * padding}\n{_BREAKS[broken].format(version=version)}"


SOAK = App(
    name="soak",
    requirements=("starlette==1.10.0",),
    files={"app.py": _APP, **{name: source(FIRST_VERSION) for name in EDITED}},
    edited=EDITED[-1],
    path="/echo?seq=0",
)
