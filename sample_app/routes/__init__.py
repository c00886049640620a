"""The application's routes, one module for each way of talking to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from sample_app.routes import api, pages, streams
from sample_app.settings import PACKAGE_DIR

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

ROUTES: list[BaseRoute] = [
    *pages.ROUTES,
    *streams.ROUTES,
    Mount("/api", routes=api.ROUTES),
    Mount("/static", StaticFiles(directory=PACKAGE_DIR / "static"), name="static"),
]
