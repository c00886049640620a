"""The pages for people."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Route

from sample_app import charts, trends
from sample_app.models import MAX_COUNT, MAX_LENGTHS, InvalidSightingError, NewSighting
from sample_app.rendering import render
from sample_app.services import services_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

# Change this text and save: the open page follows.
GREETING = "What did you see today?"

LIST_LENGTH = 10
EMPTY_FORM = {"species": "", "place": "", "count": "1", "note": ""}


async def index(request: Request) -> Response:
    """List the newest sightings, beside the form for another one."""
    return await _index(request, EMPTY_FORM, problems={})


async def create(request: Request) -> Response:
    """Take the form. A valid one ends in a redirect, so that reloading the page does not send it again."""
    async with request.form() as form:
        entered = {name: form.get(name, "") for name in EMPTY_FORM}
    try:
        sighting = await services_of(request).record(NewSighting.parse(entered))
    except InvalidSightingError as error:
        return await _index(request, entered, error.fields, HTTPStatus.UNPROCESSABLE_ENTITY)
    return RedirectResponse(request.url_for("detail", id=sighting.id), HTTPStatus.SEE_OTHER)


async def detail(request: Request) -> Response:
    """Show one sighting, and others of its species."""
    store = services_of(request).store
    sighting = await run_in_threadpool(store.get, request.path_params["id"])
    if sighting is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no sighting {request.path_params['id']}.")
    same_species = await run_in_threadpool(store.latest, 6, sighting.species)
    others = [other for other in same_species if other.id != sighting.id]
    return await render(request, "detail.html", {"sighting": sighting, "others": others})


async def trends_page(request: Request) -> Response:
    """Show the statistics that pandas computes."""
    today = datetime.now(UTC).date()
    start = trends.first_moment(today, trends.TREND_WINDOW)
    sightings = await run_in_threadpool(services_of(request).store.since, start)
    found = await run_in_threadpool(trends.compute_trends, sightings, today, trends.TREND_WINDOW)
    return await render(request, "trends.html", {"trends": found, "chart": charts.draw(found.days)})


async def _index(
    request: Request,
    entered: Mapping[str, object],
    problems: Mapping[str, str],
    status_code: int = HTTPStatus.OK,
) -> Response:
    sightings = await run_in_threadpool(services_of(request).store.latest, LIST_LENGTH)
    context = {
        "greeting": GREETING,
        "sightings": sightings,
        "entered": entered,
        "problems": problems,
        "limits": MAX_LENGTHS | {"count": MAX_COUNT},
    }
    return await render(request, "index.html", context, status_code=status_code)


ROUTES = [
    Route("/", index, methods=["GET"]),
    Route("/", create, methods=["POST"]),
    Route("/sightings/{id:int}", detail),
    Route("/trends", trends_page),
]
