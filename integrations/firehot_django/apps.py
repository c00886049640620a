"""The app that `INSTALLED_APPS` names. It is where `runserver` starts, before Django has loaded the project's apps."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.core.management import ManagementUtility, get_commands

if TYPE_CHECKING:
    from types import FrameType


class FirehotConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Has no models. But when Django asks for them, all apps are known, and those below have not loaded theirs."""

    name = "firehot_django"

    def import_models(self) -> None:
        """Become the server here, if Django loads the apps only in order to run our command.

        It needs nothing of them; the process that serves will load them. Where one of them is broken, Django would have
        no apps, and so no command but its own.
        """
        super().import_models()
        utility = _running_utility()
        if utility is None or not hasattr(os, "fork"):
            return
        is_asked_for = utility.argv[1:2] == ["runserver"] and "--noreload" not in utility.argv
        if is_asked_for and get_commands()["runserver"] == self.name:
            utility.fetch_command("runserver").run_from_argv(utility.argv)


def _running_utility() -> Any:
    """Django's command line, where it is what loads the apps; else None."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is ManagementUtility.execute.__code__:
            return frame.f_locals["self"]
        frame = frame.f_back
    return None
