"""Pages from templates, with what every page shows."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.templating import Jinja2Templates

from sample_app.services import services_of
from sample_app.settings import PACKAGE_DIR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

TEMPLATES = Jinja2Templates(PACKAGE_DIR / "templates")


async def render(
    request: Request,
    name: str,
    context: dict[str, Any],
    *,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Render a page in a thread: templates are read from disk, and may take their time."""
    context = {"worker": services_of(request).worker, **context}
    return await run_in_threadpool(
        TEMPLATES.TemplateResponse, request, name, context, status_code=status_code, headers=headers
    )


def hue(species: str) -> int:
    """Give a species its colour, the same one in every process (which `hash` would not)."""
    return zlib.crc32(species.encode()) % 360


def clock(moment: datetime) -> str:
    """Write the time of day on this machine, exact enough to tell two reloads apart."""
    return f"{moment.astimezone():%H:%M:%S}.{moment.microsecond // 1000:03d}"


def when(moment: datetime) -> str:
    """Write a day and a time as people do."""
    return f"{moment.astimezone():%a %d %b, %H:%M}"


TEMPLATES.env.filters.update(hue=hue, clock=clock, when=when)
