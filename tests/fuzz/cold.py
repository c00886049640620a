"""A fresh interpreter on the same files: what the server has to equal. Run as a script, it is that interpreter."""

import importlib.util  # what a server has imported anyway: an edit may leave out the line by which the project does
import json
import os
import re
import subprocess
import sys

_SECONDS = 60


class ColdStart:
    """One that is computing.

    Args:
        folder: the project.
        installed: a folder of third-party modules.
    """

    def __init__(self, folder, installed):
        # Nothing but the arguments says where modules are, and the project's bytecode is never written.
        flags = ["-I", "-S", "-B"]
        self._process = subprocess.Popen(
            [sys.executable, *flags, __file__, str(folder), str(installed)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def state(self):
        """Wait for it: `snapshot.state()`, or `{"failure": ...}` with the traceback as text."""
        try:
            output, errors = self._process.communicate(timeout=_SECONDS)
        finally:
            self._process.kill()
        assert self._process.returncode == 0, errors
        return json.loads(output.rpartition("\n")[2])


def is_failure(state):
    """The import of the app raised."""
    return "failure" in state


def _main(folder, installed):
    # As `python -m uvicorn` has it: the current folder comes first, twice.
    sys.path[:] = ["", folder, installed, *sys.path]
    try:
        state = importlib.import_module("app").state()
    except BaseException as error:
        state = {"failure": _described(error)}
    # What the project prints has been printed by now; this is the last line.
    sys.stdout.write("\n" + json.dumps(state))
    sys.stdout.flush()
    os._exit(0)


def _described(error):
    import traceback

    if isinstance(error, ModuleNotFoundError):
        error.__cause__, error.__suppress_context__ = None, True  # uvicorn's importer raises it `from None`
    shown = traceback.TracebackException.from_exception(error)
    pending = [shown]
    while pending:
        step = pending.pop()
        step.stack[:] = [call for call in step.stack if not _is_hidden(call.filename)]
        pending.extend(other for other in (step.__cause__, step.__context__) if other is not None)
    return comparable("".join(shown.format()))


def comparable(text):
    """A traceback without what differs by chance: where objects lie in memory, and how deep the stack was before."""
    if "RecursionError" in text:
        return "RecursionError"
    return re.sub("0x[0-9a-f]+", "0x", text)


def _is_hidden(path):
    return path.startswith("<frozen importlib") or path in (__file__, importlib.__file__)


if __name__ == "__main__":
    _main(*sys.argv[1:])
