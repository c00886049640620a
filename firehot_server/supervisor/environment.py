"""The environment variables that a template starts with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firehot_server.config import Settings


def template_environment(settings: Settings) -> dict[str, str]:
    """The variables of the shell, and below them those of --env-file as it is now: removed keys are gone."""
    environment = dict(settings.environment)
    if settings.env_file is not None:
        from dotenv import dotenv_values

        for key, value in dotenv_values(settings.env_file).items():
            if value is not None:
                environment.setdefault(key, value)
    return environment
