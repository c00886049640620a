"""The end of accepting, without losing what was accepted just now."""

from __future__ import annotations

import asyncio

# Turns of asyncio's loop from the one in which a connection is accepted until its protocol knows of it.
_TURNS = 3


def stop_accepting(server: asyncio.AbstractServer) -> None:
    """Accept no more; what this turn of the loop has accepted lives on.

    asyncio gives such a connection to its server only in the next turn, and drops it if the server is closed by then.
    uvloop does both in one turn.
    """
    if not isinstance(server, asyncio.Server):
        server.close()
        return
    loop = server.get_loop()
    for sock in server.sockets:
        loop.remove_reader(sock)
    loop.call_soon(server.close)


async def last_accepted() -> None:
    """Wait until the protocols of all that was accepted know of it."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
