"""The JSON API, mounted at /api."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from sample_app import trends
from sample_app.models import NewSighting
from sample_app.services import services_of

if TYPE_CHECKING:
    from starlette.requests import Request

DEFAULT_LIMIT = 20
MAX_LIMIT = 200
MAX_WINDOW = 28


async def list_sightings(request: Request) -> JSONResponse:
    """Return the newest sightings; `?limit=` and `?species=` narrow them down."""
    limit = _number(request, "limit", DEFAULT_LIMIT, MAX_LIMIT)
    species = request.query_params.get("species")
    sightings = await run_in_threadpool(services_of(request).store.latest, limit, species)
    return JSONResponse({"sightings": [each.to_json() for each in sightings]})


async def create_sighting(request: Request) -> JSONResponse:
    """Store a sighting and say where it is now."""
    sighting = await services_of(request).record(NewSighting.parse(await _json_object(request)))
    location = str(request.url_for("get_sighting", id=sighting.id))
    return JSONResponse(sighting.to_json(), HTTPStatus.CREATED, {"Location": location})


async def get_sighting(request: Request) -> JSONResponse:
    """Return one sighting."""
    sighting = await run_in_threadpool(services_of(request).store.get, request.path_params["id"])
    if sighting is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no sighting {request.path_params['id']}.")
    return JSONResponse(sighting.to_json())


async def get_trends(request: Request) -> JSONResponse:
    """Return the statistics that pandas computes; `?window=` sets the days of the moving average."""
    window = _number(request, "window", trends.TREND_WINDOW, MAX_WINDOW)
    today = datetime.now(UTC).date()
    sightings = await run_in_threadpool(services_of(request).store.since, trends.first_moment(today, window))
    found = await run_in_threadpool(trends.compute_trends, sightings, today, window)
    return JSONResponse(found.to_json())


async def get_worker(request: Request) -> JSONResponse:
    """Return which process answers: after a reload it is another one."""
    return JSONResponse(services_of(request).worker.to_json())


async def _json_object(request: Request) -> dict[str, object]:
    try:
        body = await request.json()
    except ValueError as error:  # not JSON, or not UTF-8
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The body is not valid JSON.") from error
    if not isinstance(body, dict):
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "The body must be a JSON object.")
    return body


def _number(request: Request, name: str, default: int, largest: int) -> int:
    try:
        number = int(request.query_params.get(name, default))
    except ValueError:
        number = 0
    if not 1 <= number <= largest:
        message = f"{name} must be a whole number from 1 to {largest}."
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, message)
    return number


ROUTES = [
    Route("/sightings", list_sightings, methods=["GET"]),
    Route("/sightings", create_sighting, methods=["POST"]),
    Route("/sightings/{id:int}", get_sighting),
    Route("/trends", get_trends),
    Route("/worker", get_worker),
]
