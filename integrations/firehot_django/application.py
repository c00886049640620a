"""What the server imports: makes the application, in a worker.

Nothing of a project is imported until then, so that a template can import this module.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Final

import django
from django.conf import ENVIRONMENT_VARIABLE
from django.core.management import CommandError
from django.utils.module_loading import import_string

from firehot_django import script
from firehot_django.fresh import keep_fresh
from firehot_django.invocation import Invocation
from firehot_django.management.commands import runserver  # noqa: F401  # for a template to import
from firehot_server import generation

if TYPE_CHECKING:
    from firehot_django.asgi import Application

__traceback_hide__ = True

_COLOURS: Final = re.compile("\x1b\\[[0-9;]*m")


def make() -> Application:
    """Do what the command line would do in a new process, up to an application that is ready to answer."""
    ours = Invocation.take()
    try:
        return _make(ours)
    except BaseException:
        if generation() == 1:  # Django would not serve; a page that shows the failure is there
            sys.stdout.write(f"Starting development server at http://{ours.options['addrport']}/\n")
            sys.stdout.write("Quit the server with CONTROL-C.\n")
        raise


def _make(ours: Invocation) -> Application:
    keep_fresh()
    if ours.script is not None:
        script.run(ours.script)
    if ours.settings is not None:
        os.environ[ENVIRONMENT_VARIABLE] = ours.settings
    django.setup()
    command = import_string(ours.command)()
    try:
        command.execute(**ours.options)
    except CommandError as error:  # it is not by its traceback that it tells what is wrong, and may be coloured
        raise type(error)(_COLOURS.sub("", str(error)).removeprefix("SystemCheckError: ")) from None
    application: Application = command.application
    return application
