"""The engine as a library: functions that run in processes which have a package's third-party imports already."""

from __future__ import annotations

import sys
import time
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from firehot_server.config import Settings, cache_folder
from firehot_server.discovery.origin import Origins
from firehot_server.discovery.package import PackageScanner
from firehot_server.engine.calls import Call
from firehot_server.engine.names import random_name
from firehot_server.engine.payload import Packer
from firehot_server.engine.session import Session
from firehot_server.errors import EnvironmentEnded, FirehotError
from firehot_server.location import PACKAGE
from firehot_server.logs import TRACE, configure, logger
from firehot_server.messages import Configure
from firehot_server.output import flush_output
from firehot_server.supervisor.installation import Installation
from firehot_server.supervisor.memory import Memory

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType


def isolate_imports(package: str, *, ignored_modules: Iterable[str] | None = None) -> Environment:
    """Import what a package needs from third parties once, and run functions in forked processes that have it.

    Every Python file of the package is parsed, none is run. The third-party modules that they import are imported in a
    template process. Each `exec` runs in a new process, forked from it.

    Args:
        package: a package or module that can be imported from here, such as `"shop"` or `"shop.reports"`.
        ignored_modules: modules that are not to be preloaded, each with all that is below it; `["*"]` for all.

    Returns:
        The environment, to be entered: `with isolate_imports("shop") as environment:`.

    Raises:
        ImportError: there is no such package (when entered).
        EnvironmentEnded: no interpreter can be started (when entered).

    Example:
        ```python
        with isolate_imports("json") as environment:
            process = environment.exec(len, "four")
            assert environment.communicate_isolated(process) == 4
        ```
    """
    ignored = [ignored_modules] if isinstance(ignored_modules, str) else ignored_modules
    return Environment(package, ignored_modules=ignored or ())


@dataclass(frozen=True, slots=True)
class IsolatedProcess:
    """A function that runs, or has run, in a process of its own.

    Attributes:
        process_uuid: unique.
        process_name: for people.
    """

    process_uuid: uuid.UUID
    process_name: str
    _call: Call = field(repr=False, compare=False)

    @property
    def pid(self) -> int:
        """Of the process, as long as it lives. It may change while the process imports the project's modules."""
        return self._call.pid


class Environment:
    """Runs functions in processes that have a package's third-party imports; see `isolate_imports`.

    All methods may be called from any thread. They block; in asyncio call them by `asyncio.to_thread`.
    """

    def __init__(self, package: str, *, ignored_modules: Iterable[str] = ()) -> None:
        self._package = package
        self._ignored = tuple(ignored_modules)
        self._origins = Origins.of_interpreter(extra_third_party=[str(PACKAGE)])
        self._calls: weakref.WeakValueDictionary[uuid.UUID, Call] = weakref.WeakValueDictionary()
        self._packer = Packer(self._origins.is_first_party)
        self._session: Session | None = None

    def __enter__(self) -> Environment:
        if self._session is not None:
            raise EnvironmentEnded("an environment is entered once; make another by `isolate_imports`")
        configure()
        self._path = tuple(sys.path)
        self._scanner = self._make_scanner()
        self._installation = Installation(self._origins)
        # Its interpreter starts while this process finds out what it is to import.
        self._session = self._make_session()
        try:
            self._session.open(self._scan())
        except BaseException:
            self._session.abandon()
            raise
        # For who forgets to close it. At the end of the interpreter, too.
        weakref.finalize(self, self._session.abandon)
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("an environment cannot be sent to another process, which may make one of its own")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _make_session(self) -> Session:
        return Session(
            Configure(self._path, tuple(sys.argv), payload=b"", cache_dir=str(cache_folder() / "bytecode")),
            Settings(no_preload=self._ignored),
            Memory.of_app(cache_folder(), self._package, "package"),
        )

    def _entered(self) -> Session:
        if self._session is None:
            raise EnvironmentEnded("enter this environment first: `with isolate_imports(...) as environment:`")
        return self._session

    # -- calls

    def exec(self, func: Callable[..., Any], /, *args: Any, name: str | None = None, **kwargs: Any) -> IsolatedProcess:
        """Run a function in a new process; `communicate_isolated` waits for what it returns.

        A function of a module that can be imported is imported there, as it is on disk now. Any other callable (a
        lambda, a closure, one of `__main__` or of a notebook) is sent as it is here. The process finds this one's
        working directory, environment variables, `sys.path` and standard streams.

        Args:
            func: what to call.
            args: its arguments; `kwargs` too. They are pickled.
            name: of the process, for people; a random one by default.

        Raises:
            CannotSend: the function or an argument cannot be pickled.
            OSError: this process has too many files open.
            EnvironmentEnded: the environment is not entered, or closed.
        """
        session = self._entered()
        if not callable(func):
            raise TypeError(f"exec needs a function to call, not a {type(func).__name__}")
        call = Call(name or random_name())
        packed = self._packer.pack(func, args, kwargs)
        flush_output()  # what was printed before the call comes before what it prints
        session.start(call, packed)
        self._calls[call.uuid] = call
        logger.log(TRACE, "exec %s: process %d, %d bytes", call.name, call.pid, len(packed.payload))
        return IsolatedProcess(call.uuid, call.name, call)

    def communicate_isolated(self, process: IsolatedProcess, timeout: float | None = None) -> Any:
        """Wait for a function to return; asked again, it gives the same answer.

        Args:
            process: from `exec`.
            timeout: seconds; None waits as long as it takes.

        Returns:
            What the function returned.

        Raises:
            IsolatedError: the function raised. The exception is the `__cause__`, if it can be pickled.
            IsolatedExit: the process was stopped or killed, or it exited, without an answer.
            TimeoutError: it has not returned in time; it goes on.
            FirehotError: this is not a process of this environment.
        """
        call = self._find(process)
        if call is None:
            raise FirehotError(f"{process!r} is not a process of this environment")
        self._entered().wait(call, timeout)
        return call.result()

    def stop_isolated(self, process: IsolatedProcess) -> bool:
        """End a process and those that it has started: SIGTERM, and after 5 seconds SIGKILL.

        Returns:
            True if it was running or had completed; False if it is not known here.
        """
        call = self._find(process)
        if call is None:
            return False
        self._entered().stop(call)
        return True

    def _find(self, process: object) -> Call | None:
        return self._calls.get(process.process_uuid) if isinstance(process, IsolatedProcess) else None

    # -- updates

    def update_environment(self) -> bool:
        """Look at the files again: if third-party imports or installed packages changed, change the template.

        Processes that run go on as they are. The former template serves until the new one is there.

        Returns:
            True if the template has changed; False if nothing had to be done.

        Raises:
            CannotPreload: a module that is imported now cannot be; the former template stays.
            ImportError: the package is gone; the former template stays.
            EnvironmentEnded: the environment is closed, or no interpreter can be started.
        """
        session = self._entered()
        with session.updating:
            if not self._installation.has_changed():
                return session.update(self._scan(), anew=False)
            installation = Installation(self._origins)
            self._scanner = self._make_scanner()
            changed = session.update(self._scan(), anew=True)
            self._installation = installation  # not before: what has failed is to be tried again
            return changed

    def _make_scanner(self) -> PackageScanner:
        return PackageScanner(self._package, path=self._path, origins=self._origins, cache_folder=str(cache_folder()))

    def _scan(self) -> Mapping[str, tuple[str, int]]:
        started = time.monotonic()
        found = self._scanner.scan()
        for each in found.unparsed:
            place = f"{each.path}:{each.line}" if each.line else each.path
            logger.warning("%s does not parse (%s); what it imports is not preloaded.", place, each.message)
        logger.debug(
            "%d third-party imports found in %.0f ms, %d files parsed",
            len(found.third_party),
            (time.monotonic() - started) * 1000,
            found.parsed,
        )
        return found.third_party

    # -- the end

    def close(self) -> None:
        """End every process, and those that they have started; leaving the `with` block does it.

        What functions have returned can still be asked for.
        """
        if self._session is not None:
            self._session.close()
