"""A worker that runs one function, for whoever called it, and answers with what came of it."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import cloudpickle

from firehot_server.failure.report import capture
from firehot_server.location import PACKAGE
from firehot_server.messages import Call, Message, Raised, Returned, Surroundings
from firehot_server.output import flush_output
from firehot_server.worker.reads import BytecodeCache, watch_source_reads
from firehot_server.worker.standby import StandBy, leave

if TYPE_CHECKING:
    from firehot_server.discovery.origin import Origins
    from firehot_server.template.process import WorkerJob

_REHEARSAL = cloudpickle.dumps((len, ("",), {}))
_HIDDEN = (f"{PACKAGE}{os.sep}", os.path.dirname(cloudpickle.__file__))


def run(job: WorkerJob) -> NoReturn:
    """Wait for a call and run it; the process ends with it."""
    standby = StandBy(job)
    watch_source_reads(job.origins.is_first_party, _nobody_asks, BytecodeCache(job.configure.cache_dir))
    _rehearse(job.origins)
    call = standby.wait()
    assert isinstance(call, Call)
    process = os.getpid()
    try:
        answer = _run(call, job.origins)
        flush_output()
        if os.getpid() == process:  # else the function has forked, and returns twice
            standby.link.deliver(answer)
        status = 0
    except SystemExit as request:
        status = _exit_status(request)
    # Python, too, waits for threads that are no daemons before it ends.
    threading._shutdown()  # type: ignore[attr-defined]
    leave(status)


def _rehearse(origins: Origins) -> None:
    """Do once what the call will do, while nobody waits: a forked process is slow where it first touches memory."""
    _run(Call(Surroundings("", dict(os.environ), tuple(sys.path)), payload=_REHEARSAL), origins)


def _nobody_asks(_module: str, _path: str, _digest: bytes) -> None:
    pass


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
        _take_streams(call)
        _enter(call.surroundings)
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
