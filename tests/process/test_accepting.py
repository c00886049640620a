"""Connections that are accepted at the very moment at which a server stops accepting."""

import asyncio
import socket

import pytest
import uvloop

from firehot_server.worker.accepting import last_accepted, stop_accepting


class Greeter(asyncio.Protocol):
    """Says a word to whoever connects."""

    def connection_made(self, transport):
        transport.write(b"!")


async def stop_when_one_connects(server, listener):
    """A client connects and somebody wants the end of it all in one turn of the loop; the client."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    order, teller = socket.socketpair()

    def stop():
        loop.remove_reader(order)
        stop_accepting(server)
        stopped.set()

    with order, teller:
        loop.add_reader(order, stop)
        client = socket.create_connection(listener.getsockname())
        client.setblocking(False)
        teller.send(b"!")
        await stopped.wait()
    return client


@pytest.mark.parametrize("loop_factory", [asyncio.SelectorEventLoop, uvloop.new_event_loop])
def test_what_was_accepted_when_accepting_ends_is_served(loop_factory):
    """Its client would see a reset. And all that comes later waits in the kernel for the next process."""

    async def run():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = await loop.create_server(Greeter, sock=listener.dup())
            with await stop_when_one_connects(server, listener) as client:
                await last_accepted()
                async with asyncio.timeout(30):
                    assert await loop.sock_recv(client, 1) == b"!"
            assert not server.is_serving()
            with socket.create_connection(listener.getsockname()) as late:
                await last_accepted()
                listener.setblocking(False)
                with listener.accept()[0] as accepted:
                    assert accepted.getpeername() == late.getsockname()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run())
