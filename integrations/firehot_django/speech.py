"""What a command writes."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

from django.core.management.base import OutputWrapper

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.core.management import BaseCommand


def said_by(command: BaseCommand, method: Callable[..., Any], *arguments: Any) -> str:
    """Call a method of the command; the text that it writes to the command's standard output."""
    stream, text = command.stdout, StringIO()
    command.stdout = OutputWrapper(text)
    try:
        method(*arguments)
    finally:
        command.stdout = stream
    return text.getvalue()
