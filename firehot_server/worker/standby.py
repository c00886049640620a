"""A stand-by: a forked copy of the template that has made itself fresh and waits to be told what to be."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING, NoReturn

from firehot_server.messages import IGNORED_SIGNALS
from firehot_server.output import flush_output
from firehot_server.worker import hygiene
from firehot_server.worker.link import Link
from firehot_server.worker.own_pages import own_pages

if TYPE_CHECKING:
    from firehot_server.messages import Message
    from firehot_server.template.process import WorkerJob


logger = logging.getLogger("uvicorn.error")

_LOWEST_PRIORITY = 19
# Threads get so long to end before the log says that they are waited for.
_PATIENCE_SECONDS = 1.0


class StandBy:
    """This process, until it is told.

    Args:
        job: what it knows at birth.
    """

    def __init__(self, job: WorkerJob) -> None:
        self._ties = job.ties
        self.link = Link(job.ties)
        hygiene.start_afresh(job.dispositions)

    def wait(self, *, drops_signals: bool = False) -> Message:
        """What to be; the files may have changed meanwhile.

        Until then, as since its fork, signals are kept from this process.

        Args:
            drops_signals: those that came were sent to the whole process group, and are the supervisor's.
        """
        if self._ties.is_favourite:
            own_pages(self.link.has_arrived)
        message = self.link.receive()
        while drops_signals and (waiting := signal.sigpending() & set(IGNORED_SIGNALS)):
            signal.sigwait(waiting)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._ties.mask)
        hygiene.forget_files()
        return message


def leave(status: int) -> NoReturn:
    """End this process as Python does: it waits for threads that are no daemons, pools of processes end, and what the
    user registered runs. But the interpreter is not torn down object by object.

    With large packages in memory that takes longer than a reload, and uvicorn's worker, ended by a signal, does not do
    it either.
    """
    _await_threads()
    atexit._run_exitfuncs()
    flush_output()
    # The kernel, too, takes a while to dismantle it; the process that comes after this one goes first.
    with contextlib.suppress(OSError):
        os.nice(_LOWEST_PRIORITY)
    os._exit(status)


def _await_threads() -> None:
    main = threading.main_thread()
    names = ", ".join(thread.name for thread in threading.enumerate() if not thread.daemon and thread is not main)
    if names:
        telling = threading.Timer(
            _PATIENCE_SECONDS, logger.warning, ["Waiting for threads that are no daemons: %s", names]
        )
        telling.daemon = True
        telling.start()
    threading._shutdown()  # type: ignore[attr-defined]
