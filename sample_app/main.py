"""The application that the server imports: `sample_app.main:app`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette

from sample_app.errors import EXCEPTION_HANDLERS
from sample_app.routes import ROUTES
from sample_app.services import open_services
from sample_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sample_app.services import Services


def create_app(settings: Settings) -> Starlette:
    """Build an application; it opens nothing before its lifespan starts."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Services]]:
        async with open_services(settings) as services:
            yield {"services": services}

    return Starlette(routes=ROUTES, exception_handlers=EXCEPTION_HANDLERS, lifespan=lifespan)


app = create_app(Settings.from_environment())
