"""An upload and a download that take their time: a reload lets them finish on the code that they began with."""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import closing
from typing import TYPE_CHECKING

from .answers import check_lines, check_sequence, failure_in, origin_of, understand
from .site import RETRY_PAUSE
from .wire import Lost, connect, read_body, read_head, request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .answers import Origin
    from .site import Site
    from .wire import Wire

SECONDS = (0.3, 1.8)
"""That one takes: less than what any server grants it."""

PIECES = 20
PIECE_SIZE = 4096


async def uploads(site: Site) -> None:
    """One after the other."""
    while not site.is_stopping:
        await _run(site, "upload", _upload)


async def downloads(site: Site) -> None:
    """One after the other."""
    while not site.is_stopping:
        await _run(site, "download", _download)


async def _run(site: Site, name: str, client: Callable[[Site, Wire], Awaitable[Origin]]) -> None:
    begun = time.perf_counter()
    try:
        with closing(await connect(site.port)) as wire:
            origin = await client(site, wire)
            ended = wire.arrived
    except Lost as error:
        site.failed(name, begun, error)
    else:
        site.answered(name, begun, ended, origin)
        if origin.broken is None:
            return
    await site.pause(RETRY_PAUSE)


async def _upload(site: Site, wire: Wire) -> Origin:
    number, content = site.number(), site.chance.randbytes(PIECES * PIECE_SIZE)
    pause = site.chance.uniform(*SECONDS) / PIECES
    await wire.write(request("POST", f"/upload?seq={number}", {"Content-Length": str(len(content))}))
    for place in range(0, len(content), PIECE_SIZE):
        await asyncio.sleep(pause)
        if wire.received or wire.is_over:
            break  # an answer that does not wait for the rest: a failure's
        await wire.write(content[place : place + PIECE_SIZE])
    head = await read_head(wire)
    digest = hashlib.sha256(content).hexdigest()
    return understand(head, await read_body(wire, head), number, length=len(content), digest=digest)


async def _download(site: Site, wire: Wire) -> Origin:
    number, seconds = site.number(), site.chance.uniform(*SECONDS)
    await wire.write(request("GET", f"/download?seq={number}&pieces={PIECES}&seconds={seconds:.3f}", {}))
    head = await read_head(wire)
    text = await read_body(wire, head)
    failure = failure_in(head, text)
    if failure is not None:
        return failure
    origin = origin_of(head)
    check_sequence(head, number)
    check_lines(text, origin, PIECES)
    return origin
