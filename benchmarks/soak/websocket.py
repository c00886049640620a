"""A WebSocket's frames, as far as a client needs them that sends short texts."""

from __future__ import annotations

import base64
import enum
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .judge import Verdict
from .wire import Lost, read_body, read_head, request

if TYPE_CHECKING:
    from .wire import Head, Wire

SWITCHING_PROTOCOLS = 101
SERVICE_RESTART = 1012

_FINAL = 0x80
_MASKED = 0x80
_TWO_BYTES, _EIGHT_BYTES = 126, 127
_MASK_SIZE = 4


class Opcode(enum.IntEnum):
    """What a frame is."""

    TEXT = 0x1
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: whole messages only."""

    opcode: Opcode
    payload: bytes

    @property
    def close_code(self) -> int | None:
        """Why the server closes; None if it does not say, or this is no close."""
        says = self.opcode is Opcode.CLOSE and len(self.payload) >= 2
        return int.from_bytes(self.payload[:2], "big") if says else None


def encode(opcode: Opcode, payload: bytes, mask: bytes) -> bytes:
    """A client's frame of less than 126 bytes: masked, as it must be."""
    masked = bytes(byte ^ mask[place % _MASK_SIZE] for place, byte in enumerate(payload))
    return bytes([_FINAL | opcode, _MASKED | len(payload)]) + mask + masked


async def send(wire: Wire, opcode: Opcode, payload: bytes) -> None:
    """Send one frame."""
    await wire.write(encode(opcode, payload, os.urandom(_MASK_SIZE)))


async def receive(wire: Wire) -> Frame:
    """The next frame; pings are answered meanwhile.

    Raises:
        Lost: the connection ended without a close, or what came is no frame that a server may send here.
    """
    while True:
        first, size = await wire.take(2)
        if size & _MASKED or not first & _FINAL:
            raise Lost(Verdict.WRONG, "a WebSocket frame that is masked, or in parts")
        if size == _TWO_BYTES:
            size = int.from_bytes(await wire.take(2), "big")
        elif size == _EIGHT_BYTES:
            size = int.from_bytes(await wire.take(8), "big")
        payload = await wire.take(size)
        frame = Frame(Opcode(first & 0x0F), payload)
        if frame.opcode is not Opcode.PING:
            return frame
        await send(wire, Opcode.PONG, frame.payload)


async def shake_hands(wire: Wire, path: str) -> tuple[Head, bytes]:
    """Ask for a WebSocket: the answer's head, and its body where it was refused."""
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    key = {"Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}
    await wire.write(request("GET", path, upgrade | key))
    head = await read_head(wire)
    return head, b"" if head.status == SWITCHING_PROTOCOLS else await read_body(wire, head)
