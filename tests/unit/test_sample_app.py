"""The sample application: its pages, its API, its streams, and that importing it touches nothing."""

import asyncio
import json
import os
import re
from datetime import UTC, date, datetime, timedelta

import pytest
from starlette.testclient import TestClient

from sample_app import charts, live, main, models, services, settings, store, trends
from sample_app.routes import api, pages

WREN = {"species": "Wren", "place": "Old quarry", "count": 2, "note": "Loud"}
TODAY = date(2026, 3, 15)


@pytest.fixture
def database(tmp_path):
    return tmp_path / "sample.sqlite3"


@pytest.fixture
def client(database):
    with TestClient(main.create_app(settings.Settings(database=database))) as client:
        yield client


@pytest.fixture
def opened(database):
    opened = store.Store(database)
    yield opened
    opened.close()


def sighting(days_ago, count, species="Wren"):
    seen_at = datetime(2026, 3, 15, 12, tzinfo=UTC) - timedelta(days=days_ago)
    return models.Sighting(1, species, "Old quarry", count, "", seen_at)


# Starting and ending


def test_only_the_lifespan_opens_the_database(database):
    """Importing and building the app creates no file; starting it does."""
    app = main.create_app(settings.Settings(database=database))
    assert not database.exists()
    with TestClient(app):
        assert database.exists()


def test_lifespan_leaves_nothing_open(database):
    """After shutdown the database is closed (SQLite then removes its log) and the background task is gone."""

    async def open_and_close():
        async with services.open_services(settings.Settings(database=database)):
            assert len(asyncio.all_tasks()) == 2
        return asyncio.all_tasks() == {asyncio.current_task()}

    assert asyncio.run(open_and_close())
    assert [path.name for path in database.parent.iterdir()] == [database.name]


def test_database_path_comes_from_the_environment(monkeypatch, database):
    """SAMPLE_APP_DATABASE moves the database; without it the file lies in the package."""
    monkeypatch.delenv("SAMPLE_APP_DATABASE", raising=False)
    assert settings.Settings.from_environment().database.parent == settings.PACKAGE_DIR
    monkeypatch.setenv("SAMPLE_APP_DATABASE", str(database))
    assert settings.Settings.from_environment().database == database


def test_restart_keeps_what_was_added_and_seeds_only_once(database):
    """A second start finds the rows of the first, and no seeds twice."""
    first = store.Store(database)
    added = first.add(models.NewSighting.parse(WREN))
    count = first.count()
    first.close()
    second = store.Store(database)
    assert second.get(added.id).species == "Wren"
    assert second.count() == count
    second.close()


def test_two_workers_share_the_database(opened, database):
    """During a reload old and new worker have the file open at once, and see each other's rows."""
    other = store.Store(database)
    added = other.add(models.NewSighting.parse(WREN))
    other.close()
    assert opened.get(added.id).note == "Loud"


# Pages


def test_index_shows_greeting_worker_and_newest_sightings(client):
    """The first page shows what the tour edits, who served it, and a full list."""
    page = client.get("/")
    assert page.status_code == 200
    assert pages.GREETING in page.text
    assert f'data-pid="{os.getpid()}"' in page.text
    assert page.text.count('<li id="sighting-') == pages.LIST_LENGTH


def test_edited_greeting_is_shown(client, monkeypatch):
    """The greeting on the page is the module's, escaped as text."""
    monkeypatch.setattr(pages, "GREETING", "Owls & larks")
    assert "Owls &amp; larks" in client.get("/").text


def test_form_redirects_to_the_new_sighting(client):
    """A valid form ends in a 303 to the page of what it added, with the visitor's text escaped."""
    answer = client.post("/", data=WREN | {"note": "<b>loud</b>"}, follow_redirects=False)
    assert answer.status_code == 303
    page = client.get(answer.headers["location"])
    assert "2 \u00d7 Wren" in page.text
    assert "&lt;b&gt;loud&lt;/b&gt;" in page.text


def test_invalid_form_keeps_the_input_and_names_the_mistake(client):
    """The form comes back with status 422, what was typed, and the problem beside its field."""
    page = client.post("/", data=WREN | {"count": "many"})
    assert page.status_code == 422
    assert 'value="Old quarry"' in page.text
    assert re.search(r'id="count-problem">How many must be a whole number from 1 to \d+\.<', page.text)


def test_unknown_sighting_gets_a_page(client):
    """The pages' 404 is HTML with a sentence, also for a number too large for SQLite."""
    for number in (999999, 10**30):
        page = client.get(f"/sightings/{number}")
        assert page.status_code == 404
        assert f"There is no sighting {number}." in page.text


def test_trends_page_draws_a_bar_for_each_day(client):
    """The page with the statistics shows one bar for each day, and the line."""
    page = client.get("/trends")
    assert page.status_code == 200
    assert page.text.count('<rect class="bar"') == trends.DAYS_SHOWN
    assert "<polyline" in page.text


def test_pages_link_only_to_what_exists(client):
    """Style sheet, script, icon and every link of the first page answer 200."""
    for address in set(re.findall(r'(?:href|src)="([^"]+)"', client.get("/").text)):
        assert client.get(address).status_code == 200, address


# API


def test_api_creates_and_returns_a_sighting(client):
    """POST answers 201 with the sighting, and Location leads to it."""
    answer = client.post("/api/sightings", json=WREN)
    assert answer.status_code == 201
    assert answer.json().items() >= WREN.items()
    assert client.get(answer.headers["location"]).json() == answer.json()


def test_api_lists_newest_first(client):
    """The list starts with what was added last, and obeys limit and species."""
    added = client.post("/api/sightings", json=WREN).json()
    found = client.get("/api/sightings", params={"limit": 3}).json()["sightings"]
    assert found[0] == added
    assert len(found) == 3
    wrens = client.get("/api/sightings", params={"species": "wren"}).json()["sightings"]
    assert {each["species"] for each in wrens} == {"Wren"}


def test_api_404_is_json(client):
    """An unknown sighting is a 404 with a sentence, and so is an unknown path."""
    answer = client.get("/api/sightings/999999")
    assert (answer.status_code, answer.json()) == (404, {"error": "There is no sighting 999999."})
    assert client.get("/api/nothing").json() == {"error": "Not Found"}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"species": "  "}, {"species": "is required"}),
        ({"species": 5}, {"species": "must be text"}),
        ({"note": "\ud800"}, {"note": "must be text"}),
        ({"place": "x" * 61}, {"place": "must have at most 60 characters"}),
        ({"count": 0}, {"count": "must be a whole number from 1 to 9999"}),
        ({"count": 1.5}, {"count": "must be a whole number from 1 to 9999"}),
        ({"count": True}, {"count": "must be a whole number from 1 to 9999"}),
        (
            {"count": None, "place": ""},
            {"place": "is required", "count": "must be a whole number from 1 to 9999"},
        ),
    ],
)
def test_api_names_every_invalid_field(client, change, fields):
    """Invalid input is a 422 that says for each field what is wrong, and stores nothing."""
    before = client.get("/api/sightings", params={"limit": 1}).json()
    answer = client.post("/api/sightings", content=json.dumps(WREN | change))
    assert answer.status_code == 422
    assert answer.json()["fields"] == fields
    assert all(f"{name} {problem}" in answer.json()["error"] for name, problem in fields.items())
    assert client.get("/api/sightings", params={"limit": 1}).json() == before


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"\xff", 400), (b"", 400), (b"[]", 422), (b"null", 422)])
def test_api_refuses_bodies_that_are_no_object(client, body, status):
    """What is not JSON is a 400, JSON of another shape a 422, both with a message."""
    answer = client.post("/api/sightings", content=body)
    assert answer.status_code == status
    assert answer.json()["error"].startswith("The body ")


@pytest.mark.parametrize("query", ["/api/sightings?limit=0", "/api/sightings?limit=x", "/api/trends?window=29"])
def test_api_refuses_numbers_out_of_range(client, query):
    """A query parameter that makes no sense is a 422 that says what would."""
    answer = client.get(query)
    assert answer.status_code == 422
    assert re.fullmatch(r"(limit|window) must be a whole number from 1 to \d+\.", answer.json()["error"])


def test_api_trends_answer_the_window_asked_for(client):
    """The largest window still has a full average for the first day shown."""
    answer = client.get("/api/trends", params={"window": api.MAX_WINDOW}).json()
    assert answer["window"] == api.MAX_WINDOW
    assert len(answer["days"]) == trends.DAYS_SHOWN
    assert answer["days"][-1]["day"] == datetime.now(UTC).date().isoformat()


def test_api_names_the_worker(client):
    """The worker's pid and start let a script see that a reload happened."""
    answer = client.get("/api/worker").json()
    assert answer["pid"] == os.getpid()
    assert datetime.fromisoformat(answer["started"]) <= datetime.now(UTC)


# Live


def test_websocket_says_hello_and_broadcasts_what_is_added(client):
    """Two visitors learn which worker they talk to, then of what comes by API and by form."""
    with client.websocket_connect("/news") as one, client.websocket_connect("/news") as other:
        for socket in (one, other):
            assert socket.receive_json()["worker"]["pid"] == os.getpid()
        client.post("/api/sightings", json=WREN)
        client.post("/", data=WREN | {"species": "Swift"})
        for socket in (one, other):
            news = [socket.receive_json() for _ in range(2)]
            assert [each["type"] for each in news] == ["sighting"] * 2
            assert [each["sighting"]["species"] for each in news] == ["Wren", "Swift"]


def test_websocket_ignores_what_the_visitor_sends(client):
    """Text or bytes from the visitor disturb nothing."""
    with client.websocket_connect("/news") as socket:
        socket.receive_json()
        socket.send_text("hello")
        socket.send_bytes(b"\x00")
        client.post("/api/sightings", json=WREN)
        assert socket.receive_json()["type"] == "sighting"


def test_event_stream_starts_at_once_and_goes_on(database):
    """The first event comes at once, the second with a tick; the figures are those of the store."""
    app = main.create_app(settings.Settings(database=database, pulse_seconds=0))
    with TestClient(app) as client, client.stream("GET", "/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert re.fullmatch(r"retry: \d+", next(lines))
        for _ in range(2):
            assert next(lines) == "event: pulse"
            pulse = json.loads(next(lines).removeprefix("data: "))
            assert next(lines) == ""
        assert pulse.keys() == {"total", "today", "watching", "uptime"}
        assert pulse["total"] > 100


def test_event_stream_ends_with_its_visitor(database):
    """A visitor who leaves is no longer sent to."""
    app = main.create_app(settings.Settings(database=database))
    with TestClient(app) as client:
        subscribers = client.app_state["services"].pulses
        with client.stream("GET", "/events") as stream:
            lines = stream.iter_lines()
            assert next(lines).startswith("retry")
            assert len(subscribers) == 1
        assert len(subscribers) == 0


def test_slow_subscriber_loses_the_oldest_message(monkeypatch):
    """A full queue makes room for news instead of blocking the publisher."""
    monkeypatch.setattr(live, "BACKLOG", 2)
    broadcaster = live.Broadcaster()
    with broadcaster.subscribe() as queue:
        for message in "abc":
            broadcaster.publish(message)
        assert [queue.get_nowait(), queue.get_nowait()] == ["b", "c"]
    assert len(broadcaster) == 0


# Statistics


def test_moving_average_is_over_the_window():
    """Each day's average is that of the days up to it, days without birds included."""
    sightings = [sighting(2, 9), sighting(0, 2), sighting(0, 1)]
    found = trends.compute_trends(sightings, TODAY, window=3)
    assert [(day.birds, day.average) for day in found.days[-4:]] == [(0, 0.0), (9, 3.0), (0, 3.0), (3, 4.0)]
    assert found.days[-1].day == TODAY


def test_species_are_compared_with_the_window_before():
    """A species' change is its last window less the one before; the most seen comes first."""
    sightings = [sighting(0, 2), sighting(3, 5), sighting(6, 1), sighting(1, 20, "Swift")]
    found = trends.compute_trends(sightings, TODAY, window=3)
    assert [each.species for each in found.species] == ["Swift", "Wren"]
    wren = found.species[1]
    assert (wren.birds, wren.recent, wren.before, wren.change) == (8, 2, 5, -3)


def test_trends_of_an_empty_book():
    """Without sightings there are still days to draw, all of them empty."""
    found = trends.compute_trends([], TODAY, window=7)
    assert {day.birds for day in found.days} == {0}
    assert found.species == []
    assert {bar.height for bar in charts.draw(found.days).bars} == {0}


def test_chart_leaves_room_for_the_highest_bar():
    """The grid ends at or above the highest bar, in at most six lines."""
    for birds in (1, 7, 42, 1234):
        chart = charts.draw([trends.DayTrend(TODAY, birds, 0.5), trends.DayTrend(TODAY, 0, 0.5)])
        assert chart.bars[0].y >= 0
        assert chart.grid[-1][1] >= birds
        assert len(chart.grid) <= 6
