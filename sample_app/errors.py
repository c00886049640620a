"""Errors in the language of the one who asked: JSON for the API, a page for everybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from sample_app.models import InvalidSightingError
from sample_app.rendering import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import HTTPExceptionHandler


async def http_error(request: Request, error: Exception) -> Response:
    """Answer an HTTPException, such as the 404 of an unknown sighting."""
    assert isinstance(error, HTTPException)
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    context = {"status": error.status_code, "detail": error.detail}
    return await render(request, "error.html", context, status_code=error.status_code, headers=error.headers)


async def invalid_sighting(_request: Request, error: Exception) -> Response:
    """Answer invalid input to the API. The form catches the error itself, to show it beside the field."""
    assert isinstance(error, InvalidSightingError)
    return JSONResponse({"error": f"Invalid sighting: {error}.", "fields": error.fields}, 422)


EXCEPTION_HANDLERS: dict[type[Exception], HTTPExceptionHandler] = {
    HTTPException: http_error,
    InvalidSightingError: invalid_sighting,
}
