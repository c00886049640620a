"""The terminal: a progress line that is gone when it is done, and modes that are as they were."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import termios
from typing import IO, Any

_CLEAR_LINE = "\r\x1b[2K"


class ProgressLine:
    """One line on a terminal that is overwritten; on anything else, nothing.

    Args:
        stream: where the log goes.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._shown = False

    def show(self, text: str) -> None:
        """Overwrite the line, cut to the width of the terminal."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns
            self._write(f"{_CLEAR_LINE}{text[: width - 1]}")
            self._shown = True

    def clear(self) -> None:
        """Leave no trace."""
        if self._shown:
            self._write(_CLEAR_LINE)
            self._shown = False

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            self._is_terminal = False  # the terminal is gone; nobody looks


class TerminalModes:
    """Restores the terminal's modes: a worker killed inside a debugger may leave it without echo.

    Example:
        ```python
        with TerminalModes():
            ...
        ```
    """

    def __init__(self) -> None:
        self._fd = _terminal()
        self._modes: list[Any] | None = None

    def __enter__(self) -> TerminalModes:
        if self._fd is not None:
            self._modes = termios.tcgetattr(self._fd)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._fd is None or self._modes is None or not self._is_ours():
            return
        if termios.tcgetattr(self._fd) != self._modes:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._modes)

    def _is_ours(self) -> bool:
        """In the foreground: to a background job the terminal is another program's, and touching it stops the job."""
        try:
            return self._fd is not None and os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError as error:
            return error.errno == errno.ENOTTY  # not our controlling terminal: no job control either

    @property
    def is_gone(self) -> bool:
        """There was a terminal, and it was closed: a SIGHUP means the end then, not a reload."""
        if self._fd is None:
            return False
        try:
            os.tcgetpgrp(self._fd)
        except OSError as error:
            return error.errno == errno.EIO  # ENOTTY: there, but of another session
        return False


def _terminal() -> int | None:
    for stream in (sys.stdin, sys.stderr):
        try:
            if stream.isatty():
                return stream.fileno()
        except (AttributeError, OSError, ValueError):
            continue  # no such stream, or it is closed
    return None
