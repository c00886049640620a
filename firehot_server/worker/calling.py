"""A worker that runs one function, for whoever called it, and answers with what came of it."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import cloudpickle

from firehot_server.failure.report import capture
from firehot_server.location import PACKAGE
from firehot_server.messages import Call, Imported, Message, Pauses, Raised, Returned, Surroundings
from firehot_server.output import flush_output
from firehot_server.worker.audit_events import AuditEvents
from firehot_server.worker.checkpoints import Checkpoints
from firehot_server.worker.read_log import ReadLog
from firehot_server.worker.standby import StandBy, leave

if TYPE_CHECKING:
    from firehot_server.discovery.origin import Origins
    from firehot_server.messages import Reads
    from firehot_server.template.process import WorkerJob

_REHEARSAL = cloudpickle.dumps((len, ("",), {}))
_HIDDEN = (f"{PACKAGE}{os.sep}", os.path.dirname(cloudpickle.__file__))


def run(job: WorkerJob) -> NoReturn:
    """Wait for a call and run it; the process ends with it."""
    Caller(job).run()


class Caller:
    """This process, and the copies of it that go on from checkpoints with calls of their own."""

    def __init__(self, job: WorkerJob) -> None:
        self._job = job
        self._call = Call(Surroundings("", dict(os.environ), tuple(sys.path)), payload=_REHEARSAL)
        self._standby = StandBy(job)
        self._has_imported = False
        log = ReadLog(
            job.origins,
            job.folder,
            job.configure.cache_dir,
            self._tell,
            self._lay_down,
            before=lambda path: self._checkpoints.opens(path),
        )
        self._log = log
        self._checkpoints = Checkpoints(
            job.ties, log, job.origins.is_first_party, is_debugged=lambda: False, take=self._take
        )

    def run(self) -> NoReturn:
        """Live."""
        _enter(self._call.surroundings)
        _run(self._call, self._job.origins)  # a rehearsal: a forked process is slow where it first touches memory
        self._checkpoints.take_stock()
        plan = self._take()
        _enter(self._call.surroundings)  # not in a copy: it has the same, and what the import has changed in them
        try:
            answer = self._import(plan)
            process = os.getpid()  # of a copy, if this one has left checkpoints
            answer = answer or _run(self._call, self._job.origins)
            flush_output()
            if os.getpid() == process:  # else the function has forked, and returns twice
                self._standby.link.deliver(answer)
            status = 0
        except SystemExit as request:
            status = _exit_status(request)
        leave(status)

    def _take(self) -> Pauses | None:
        """Wait for the call, in this process or in a copy of it."""
        call = self._standby.wait()
        assert isinstance(call, Call)
        self._call = call
        _take_streams(call)
        return call.pauses

    def _tell(self, message: Message) -> None:
        """Whoever makes calls need not listen; it is kept until then."""
        if self._is_asked:
            self._standby.link.post(message)

    def _lay_down(self, reads: Reads) -> None:
        if self._is_asked:
            self._standby.link.lay_down(reads)

    @property
    def _is_asked(self) -> bool:
        """What it reads. Of a function's own imports nobody asks."""
        return self._call.pauses is not None and not self._has_imported

    def _import(self, plan: Pauses | None) -> Message | None:
        """What the call needs of the project's modules; the answer to it, if that cannot be imported."""
        events = AuditEvents() if plan is not None else None
        if events is not None:
            self._log.begin(events)
            self._checkpoints.begin(plan, events)
        try:
            for module in self._call.modules:
                __import__(module)
        except SystemExit:
            raise
        except BaseException as error:
            self._checkpoints.give_up()
            return _raised(error, self._job.origins)
        if events is not None:
            self._checkpoints.end(events)
            self._log.imported()
            self._standby.link.end_laying_down()
            self._tell(Imported())
            self._has_imported = True
        return None


def _take_streams(call: Call) -> None:
    """The caller's standard streams as they are now, which need not be those that the template was started with."""
    for number, fd in zip(call.standard, call.streams, strict=True):
        os.dup2(fd, number)
        os.close(fd)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:  # else some module has put something else there
        reconfigure(line_buffering=sys.stdout.isatty())


def _enter(surroundings: Surroundings) -> None:
    for name in os.environ.keys() - surroundings.environment.keys():
        del os.environ[name]
    for name, value in surroundings.environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    if surroundings.folder:
        os.chdir(surroundings.folder)
    sys.path[:] = surroundings.sys_path


def _run(call: Call, origins: Origins) -> Message:
    """Raises SystemExit, if the function does: a request to end the process, not an answer."""
    try:
        function, arguments, keywords = cloudpickle.loads(call.payload)
        value = function(*arguments, **keywords)
    except SystemExit:
        raise
    except BaseException as error:
        return _raised(error, origins)
    try:
        return Returned(_packed(value))
    except BaseException as error:
        return _raised(_noted(error, f"The function returned a {type(value).__name__}"), origins)


def _noted(error: BaseException, what: str) -> BaseException:
    with contextlib.suppress(Exception):  # its class may have an `add_note` of its own
        error.add_note(f"{what}, which cannot be sent to another process.")
    return error


def _packed(value: Any) -> bytes:
    if inspect.iscoroutine(value):
        value.close()  # else Python warns that nobody awaited it
        raise TypeError("cannot pickle a coroutine: let the function call asyncio.run()")
    payload: bytes = cloudpickle.dumps(value)
    return payload


def _raised(error: BaseException, origins: Origins) -> Raised:
    return Raised(
        type_name=type(error).__qualname__,
        message=_message(error),
        traceback=capture(error, is_first_party=origins.is_first_party, hide=_is_ours).traceback,
        payload=_pickled(error),
    )


def _is_ours(path: str) -> bool:
    return path.startswith(_HIDDEN)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # the function's own exception class may be broken as well
        return ""


def _pickled(error: BaseException) -> bytes:
    """Empty, if it would not come out at the other end as what it is: many exceptions pickle, but do not unpickle."""
    try:
        payload: bytes = cloudpickle.dumps(error)
        return payload if type(cloudpickle.loads(payload)).__name__ == type(error).__name__ else b""
    except BaseException:
        return b""


def _exit_status(request: SystemExit) -> int:
    """As Python itself would end."""
    code: Any = request.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)  # noqa: T201 - what `sys.exit("...")` says
    return 1
