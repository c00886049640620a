"""The soak's clients, against servers that do as they are told."""

import asyncio
import hashlib
import random
import socket

import pytest

from benchmarks.apps import FIRST_VERSION
from benchmarks.soak import app, short, slow, streams, websocket
from benchmarks.soak.judge import UNNAMED, Exchange, Verdict
from benchmarks.soak.site import Site
from benchmarks.soak.websocket import Opcode

VERSIONS = "-".join([str(FIRST_VERSION)] * len(app.EDITED))
NEWER = VERSIONS.replace(str(FIRST_VERSION), str(FIRST_VERSION + 1))


def answer(sequence, *, status=200, body=None, versions=VERSIONS, headers=()):
    """As the app answers."""
    body = body if body is not None else f'{{"version": {FIRST_VERSION}, "seq": {sequence}}}'
    lines = [f"HTTP/1.1 {status} X", f"x-versions: {versions}", f"x-seq: {sequence}", *headers]
    return "\r\n".join([*lines, f"content-length: {len(body)}", "", body]).encode()


FAILURE = answer(0, status=500, body="RuntimeError: broken-100007", headers=["x-firehot-failure: 3"])
OTHER_FAILURE = answer(0, status=500, body="MemoryError", headers=["x-firehot-failure: 3"])


class EnoughSite(Site):
    """Stops when it has seen so much."""

    ENOUGH = 6

    def _note(self, exchange):
        super()._note(exchange)
        if len(self.exchanges) >= self.ENOUGH:
            self.stop()


def serve(client, behaviour, rounds=1):
    """What a client notes of a server that treats each connection like this; the `Site`."""

    async def run():
        connections = []

        async def handle(reader, writer):
            connections.append(writer)
            await behaviour(reader, writer)

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        site = EnoughSite(server.sockets[0].getsockname()[1], random.Random(1))
        async with asyncio.timeout(30):
            await client(site, rounds)
        server.close()
        for writer in connections:
            writer.close()
        await asyncio.sleep(0)
        return site

    return asyncio.run(run())


async def ask_fresh(site, rounds):
    for _ in range(rounds):
        await short._ask_once(site)


async def ask_twice_at_once(site, rounds):
    kept = short._Kept(site)
    for _ in range(rounds):
        await kept.ask(2)
    kept.leave()


async def ask_twice_until_closed(site, rounds):
    """And again when that is known: before, the next request would be sent into the void."""
    kept = short._Kept(site)
    for _ in range(rounds):
        await kept.ask(2)
        while not kept._wire.is_over:
            await kept._wire.news()
    kept.leave()


def says(*parts, reset=False):
    """Reads a request, says this, and closes."""

    async def behave(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
        if reset:
            writer.transport.abort()
        else:
            writer.close()

    return behave


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (says(answer(1)), None),
        (says(FAILURE), None),
        (says(), Verdict.RESET),
        (says(reset=True), Verdict.RESET),
        (says(answer(1)[:20]), Verdict.CUT),
        (says(answer(1)[:-1]), Verdict.CUT),
        (says(answer(1), answer(1)), Verdict.DUPLICATED),
        (says(answer(2)), Verdict.OUT_OF_ORDER),
        (says(answer(1, status=502)), Verdict.WRONG),
        (says(answer(1, body="{}")), Verdict.WRONG),
        (says(answer(1, versions="100000")), Verdict.WRONG),
        (says(OTHER_FAILURE), Verdict.WRONG),
        (says(b"nonsense\r\n\r\n"), Verdict.WRONG),
    ],
)
def test_a_client_tells_what_went_wrong_with_its_request(behaviour, failure):
    """And nothing else of it, then."""
    (seen,) = serve(ask_fresh, behaviour).exchanges

    assert seen.failure is failure
    assert bool(seen.versions or seen.broken) is (failure is None)


def test_a_failure_is_known_by_the_save_that_it_names():
    """Whatever else the page says."""
    (seen,) = serve(ask_fresh, says(FAILURE)).exchanges

    assert (seen.broken, seen.versions) == (100_007, ())


def test_a_server_that_does_not_listen_refuses():
    """Before anything is sent."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        site = Site(bound.getsockname()[1], random.Random(1))
        asyncio.run(ask_fresh(site, 1))

    (seen,) = site.exchanges
    assert seen.failure is Verdict.REFUSED


async def answer_pairs(reader, writer):
    """As a good server."""
    while line := await reader.readline():
        if line.startswith(b"GET"):
            writer.write(answer(line.split(b" ")[1].decode().partition("=")[2]))


async def answer_pairs_backwards(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(answer(2) + answer(1))


async def answer_one_of_a_pair_twice(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(answer(1) + answer(1) + answer(2))


async def say_good_bye(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    sequence = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode().partition("=")[2]
    writer.write(answer(int(sequence) - 1, headers=["connection: close"]))
    writer.close()


async def close_after_a_pair(reader, writer):
    for _ in range(2):
        line = await reader.readline()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer(line.split(b" ")[1].decode().partition("=")[2]))
    writer.close()


@pytest.mark.parametrize(
    ("behaviour", "rounds", "failures"),
    [
        (answer_pairs, 3, []),
        (answer_pairs_backwards, 1, [Verdict.OUT_OF_ORDER]),
        (answer_one_of_a_pair_twice, 1, [Verdict.OUT_OF_ORDER]),
    ],
)
def test_requests_that_were_sent_together_are_answered_in_turn(behaviour, rounds, failures):
    """Over one connection, for as long as it lasts."""
    seen = serve(ask_twice_at_once, behaviour, rounds).exchanges

    assert [each.failure for each in seen if each.failure] == failures


def test_a_connection_that_is_closed_without_a_word_is_counted():
    """Not as a failure: nothing was asked."""
    site = serve(ask_twice_until_closed, close_after_a_pair, rounds=3)

    assert (site.drops, site.farewells) == (2, 0)
    assert [each.failure for each in site.exchanges] == [None] * 6


def test_a_request_goes_to_another_connection_after_an_answer_that_says_so():
    """It was not answered, and is as old as it was."""

    async def behave(reader, writer):
        nonlocal first
        first = not first
        await (answer_pairs if first else say_good_bye)(reader, writer)

    first = True
    site = serve(ask_twice_at_once, behave)

    assert (site.drops, site.farewells) == (0, 1)
    assert [each.failure for each in site.exchanges] == [None] * 2
    assert len({each.begun for each in site.exchanges}) == 1


async def answer_early(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(FAILURE)


def digest_of(content):
    return hashlib.sha256(content).hexdigest()


async def take_upload(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    content = await reader.readexactly(slow.PIECES * slow.PIECE_SIZE)
    body = f'{{"version": {FIRST_VERSION}, "seq": 1, "length": {len(content)}, "digest": "{digest_of(content)}"}}'
    writer.write(answer(1, body=body))


async def lose_some_of_an_upload(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    content = await reader.readexactly(slow.PIECES * slow.PIECE_SIZE)
    body = f'{{"version": {FIRST_VERSION}, "seq": 1, "length": {len(content) - 1}, "digest": "{digest_of(b"")}"}}'
    writer.write(answer(1, body=body))


def chunked(*chunks, sequence=1, cut=False):
    """An answer in chunks."""
    head = f"HTTP/1.1 200 OK\r\nx-versions: {VERSIONS}\r\nx-seq: {sequence}\r\ntransfer-encoding: chunked\r\n\r\n"
    body = "".join(f"{len(chunk):x}\r\n{chunk}\r\n" for chunk in chunks)
    end = "" if cut else "0\r\n\r\n"
    return f"{head}{body}{end}".encode()


LINES = [f"{number} {VERSIONS}\n" for number in range(slow.PIECES)]


@pytest.mark.parametrize(
    ("client", "behaviour", "failure"),
    [
        (slow._upload, take_upload, None),
        (slow._upload, lose_some_of_an_upload, Verdict.WRONG),
        (slow._upload, answer_early, None),
        (slow._upload, says(reset=True), Verdict.RESET),
        (slow._download, says(chunked(*LINES)), None),
        (slow._download, says(FAILURE), None),
        (slow._download, says(chunked(*LINES, sequence=2)), Verdict.OUT_OF_ORDER),
        (slow._download, says(chunked(*LINES[:-1])), Verdict.WRONG),
        (slow._download, says(chunked(*LINES[:-1], cut=True)), Verdict.CUT),
        (slow._download, says(chunked(*LINES[:-1], f"19 {NEWER}\n")), Verdict.WRONG),
    ],
)
def test_what_is_sent_slowly_arrives_whole_and_from_one_code(client, behaviour, failure, monkeypatch):
    """In both directions."""
    monkeypatch.setattr(slow, "SECONDS", (0.0, 0.0))

    async def once(site, _):
        await slow._run(site, "slow", client)

    (seen,) = serve(once, behaviour).exchanges
    assert seen.failure is failure


async def follow(site, _):
    await streams.events(site)


async def exchange(site, _):
    await streams.messages(site)


def event(number, versions=VERSIONS):
    return f"data: {number} {versions}\n\n"


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (says(chunked(event(0), event(1))), None),
        (says(chunked(event(0)[:9], event(0)[9:] + event(1))), None),
        (says(FAILURE), None),
        (says(chunked(event(0), event(1), cut=True)), Verdict.CUT),
        (says(chunked(event(0), event(1)[:-1])), Verdict.CUT),
        (says(chunked(event(0), event(0))), Verdict.OUT_OF_ORDER),
        (says(chunked(event(0), event(1, NEWER))), Verdict.WRONG),
    ],
)
def test_an_event_stream_ends_between_two_events_and_is_asked_for_again(behaviour, failure):
    """Each stream is by one code."""
    seen = serve(follow, behaviour).exchanges

    assert {each.failure for each in seen} == {None, failure}


def frame(opcode, payload):
    """A server's."""
    return bytes([0x80 | opcode, len(payload)]) + payload


def talks(*frames, status="101 Switching Protocols"):
    """Opens a WebSocket, says this, and closes without a word."""

    async def behave(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())
        for one in frames:
            writer.write(one)
        writer.close()

    return behave


HELLO = frame(Opcode.TEXT, f"0 {VERSIONS}".encode())
RESTART = frame(Opcode.CLOSE, (1012).to_bytes(2, "big"))


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (talks(HELLO, RESTART), None),
        (talks(frame(Opcode.PING, b"!"), HELLO, RESTART), None),
        (talks(status="403 Forbidden"), None),
        (talks(HELLO), Verdict.CUT),
        (talks(HELLO, frame(Opcode.CLOSE, (1001).to_bytes(2, "big"))), Verdict.CUT),
        (talks(HELLO, frame(Opcode.CLOSE, b"")), Verdict.CUT),
        (talks(HELLO, HELLO), Verdict.OUT_OF_ORDER),
        (talks(HELLO, frame(Opcode.TEXT, f"1 {NEWER}".encode())), Verdict.WRONG),
        (talks(status="404 Not Found"), Verdict.WRONG),
    ],
)
def test_a_websocket_is_closed_with_1012_and_opened_again(behaviour, failure):
    """While the code is broken there is none, and nobody says which failure it is."""
    seen = serve(exchange, behaviour).exchanges

    assert {each.failure for each in seen} - {None} == {failure} - {None}
    if not any(each.versions or each.failure for each in seen):
        assert {each.broken for each in seen} == {UNNAMED}


@pytest.mark.parametrize("size", [0, 5, 125])
def test_a_frame_of_a_client_is_masked(size):
    """As the protocol wants it."""
    payload, mask = bytes(range(size)), b"\x01\x02\x03\x04"

    encoded = websocket.encode(Opcode.TEXT, payload, mask)

    assert encoded[:6] == bytes([0x81, 0x80 | size]) + mask
    assert bytes(byte ^ mask[place % 4] for place, byte in enumerate(encoded[6:])) == payload


def test_waiting_for_a_version_ends_with_it_or_with_the_time():
    """A newer one will do."""

    async def run():
        site = Site(0, random.Random(1))
        asyncio.get_running_loop().call_soon(site._note, Exchange("fresh", 0.0, 1.0, (3, 5)))
        return await site.shows(4, 30), await site.shows(6, 0)

    assert asyncio.run(run()) == (True, False)
