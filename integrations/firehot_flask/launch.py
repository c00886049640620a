"""What the command tells the workers, which are other processes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

VARIABLE = "FIREHOT_FLASK"


@dataclass(frozen=True, slots=True)
class Launch:
    """One run of the command.

    Attributes:
        app: where the app is, as `flask --app` takes it; None: FLASK_APP says so, or nobody.
        set_debug_flag: whether the app's debug flag is set by FLASK_DEBUG, as it is but for some custom scripts.
        env_file: the path given by `flask --env-file`.
        dotenv: load `.env` and `.flaskenv`.
        debugger: serve Werkzeug's debugger; None: in debug mode.
        threads: answer requests at the same time.
        host: as it was given: the debugger answers there.
        server: what apps find as SERVER_NAME and SERVER_PORT.
        secret: what a page of the debugger shows to prove that it is one.
    """

    app: str | None
    set_debug_flag: bool
    env_file: str | None
    dotenv: bool
    debugger: bool | None
    threads: bool
    host: str
    server: tuple[str, str]
    secret: str

    def store(self, environment: MutableMapping[str, str]) -> None:
        """Put it where `take` finds it."""
        environment[VARIABLE] = json.dumps(asdict(self))

    @classmethod
    def take(cls, environment: MutableMapping[str, str]) -> Launch:
        """What was stored; it is removed, as it is no concern of the app."""
        values = json.loads(environment.pop(VARIABLE))
        return cls(**{**values, "server": tuple(values["server"])})
