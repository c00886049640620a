"""What the processes say to each other.

Every message is a frozen dataclass. File descriptors are ordinary fields, marked with
[`descriptors`][firehot_server.messages.descriptors]: the [channel][firehot_server.channel] carries them over
SCM_RIGHTS, and the receiver owns what arrives.
"""

from __future__ import annotations

import functools
import marshal
import os
import signal
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from firehot_server.failure.report import Failure
    from firehot_server.stamps import Stamped

Role = Literal["app", "failure"]

Kind = Literal["module", "data", "listing", "look", "lookup"]
"""How something was read: as a module's source, as another file, as a folder's names, by a look whether it is there, or
as a place where an import looked for a module (folder and name, as a path)."""

DEFAULT_DRAIN_SECONDS = 5
"""What running requests get, where --timeout-graceful-shutdown does not say."""

IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""A template ignores these, from its first moment: sent to the whole process group, they are the supervisor's."""


DEFERRED_SIGNALS = (
    *IGNORED_SIGNALS,
    *(signal.SIGQUIT, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGCHLD, signal.SIGWINCH),
)
"""Those that programs handle: a program that uses the library does so while it waits, not in the middle of something.

A template may be started in the middle: it unblocks them."""


def descriptors() -> Any:
    """A message field that holds file descriptors: a tuple of ints, empty by default."""
    return field(default=(), metadata={"descriptors": True})


def bulk() -> Any:
    """A message field of bytes that may be many: they are sent as they are. At most one in a message; empty by default.

    A bytes-like object arrives.
    """
    return field(default=b"", metadata={"bulk": True})


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all messages."""

    @classmethod
    def bulk_field(cls) -> str | None:
        return next(iter(_marked(cast("Any", cls), "bulk")), None)

    @classmethod
    def descriptor_fields(cls) -> tuple[str, ...]:
        return _marked(cast("Any", cls), "descriptors")


@functools.cache
def _marked(cls: Any, mark: str) -> tuple[str, ...]:
    """Asked for with each message: to go through the fields takes longer than to send it."""
    return tuple(f.name for f in fields(cls) if f.metadata.get(mark))


def split_descriptors(message: Message) -> tuple[Message, tuple[int, ...], tuple[int, ...]]:
    """The message without its descriptors, the descriptors, and how many each field has."""
    names = message.descriptor_fields()
    if not names:
        return message, (), ()
    values = [tuple(getattr(message, name)) for name in names]
    bare: Message = replace(message, **dict.fromkeys(names, ()))
    return bare, tuple(fd for value in values for fd in value), tuple(len(value) for value in values)


def join_descriptors(message: Message, fds: list[int], counts: tuple[int, ...]) -> Message:
    """The inverse of [`split_descriptors`][firehot_server.messages.split_descriptors]."""
    if not counts:
        return message
    remaining = iter(fds)
    values = [tuple(next(remaining) for _ in range(count)) for count in counts]
    return replace(message, **dict(zip(message.descriptor_fields(), values, strict=True)))


def split_bulk(message: Message) -> tuple[Message, bytes]:
    """The message without its bulk, and that."""
    name = message.bulk_field()
    return (message, b"") if name is None else (replace(message, **{name: b""}), getattr(message, name))


def join_bulk(message: Message, data: bytes | bytearray) -> Message:
    """The inverse of [`split_bulk`][firehot_server.messages.split_bulk]."""
    name = message.bulk_field()
    return message if name is None else replace(message, **{name: data})


def close_descriptors(message: Message) -> None:
    """Close what a message brought that nobody will take."""
    for fd in split_descriptors(message)[1]:
        os.close(fd)


# ---------------------------------------------------------------- a channel's own


@dataclass(frozen=True, slots=True)
class LaysDown(Message):
    """The sender lays down from now on (see `aside`) what is not urgent: here, or nowhere. This is for
    the channel itself.
    """

    file: tuple[int, ...] = descriptors()


# ---------------------------------------------------------------- supervisor -> template


@dataclass(frozen=True, slots=True)
class Configure(Message):
    """The template's first message: the interpreter state that a cold start would have."""

    sys_path: tuple[str, ...]
    argv: tuple[str, ...]
    payload: bytes
    """cloudpickle of `(uvicorn.Config, target)`; only a worker loads it, since it may name project code."""
    cache_dir: str
    """Where workers keep bytecode; empty: nowhere."""
    env_file: str = ""
    """Variables to add to the environment before anything is imported, as uvicorn's --env-file does."""
    bare: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of a `uvicorn.Config` that needs nothing of the project's, but can serve in the place of the user's."""
    payload_is_plain: bool = False
    """The payload names nothing of the project's and no file: a stand-by may load it before it is needed."""


@dataclass(frozen=True, slots=True)
class Preload(Message):
    """Import these modules, in this order. Answered by `Preloading`... and one `Preloaded`."""

    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Extend(Message):
    """Fork a copy that preloads these modules too and becomes a template itself. Answered by `Extended`."""

    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fork(Message):
    """Fork a process that makes itself fresh and then waits for `Begin`. Answered by `Forked`."""

    is_favourite: bool = False
    """It will probably be needed next: it makes its memory its own while it waits."""


# ---------------------------------------------------------------- template -> supervisor


@dataclass(frozen=True, slots=True)
class Preloading(Message):
    """About to import the module with this number (1-based) out of so many."""

    module: str
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """A module that is left to the worker, and why."""

    module: str
    reason: str
    lasting: bool
    """True: its trace stays in this process (a thread, half of a package); a clean template must do without it."""


@dataclass(frozen=True, slots=True)
class Preloaded(Message):
    """All modules asked for are imported or skipped, and the process is audited."""

    skipped: tuple[Skipped, ...]
    modules: int
    """Size of `sys.modules`."""
    looked: tuple[Read, ...] = ()
    """Places of the project in which their imports looked for a module in vain."""
    files: tuple[Stamped, ...] = ()
    """Modules of other people's packages that the process has imported since it told of some last."""


@dataclass(frozen=True, slots=True)
class Extended(Message):
    """A copy was forked that preloads an addition; its own `Preloaded` comes over its own channel."""

    pid: int
    channel: tuple[int, ...] = descriptors()
    lifeline: tuple[int, ...] = descriptors()


@dataclass(frozen=True, slots=True)
class Forked(Message):
    """A process was forked: its control channel, and the end that keeps it alive while it is open."""

    pid: int
    channel: tuple[int, ...] = descriptors()
    lifeline: tuple[int, ...] = descriptors()


@dataclass(frozen=True, slots=True)
class Refused(Message):
    """The system does not let the sender fork: too many processes or open files, or too little memory."""

    reason: str
    was_extending: bool = False
    """It was asked to by `Extend`."""


@dataclass(frozen=True, slots=True)
class Exited(Message):
    """A child of the sender was reaped. `status` is a `waitpid` status."""

    pid: int
    status: int


# ---------------------------------------------------------------- supervisor -> worker


@dataclass(frozen=True, slots=True)
class Pauses:
    """Where an import may leave checkpoints, and what they may cost. See `worker.pacing`."""

    edited: frozenset[str] = frozenset()
    """Before these, which were edited lately: modules by name, data files and listed folders by path."""
    likely: frozenset[str] = frozenset()
    """Before these, of which an edit is likely."""
    at_end: bool = False
    """At the end in any case: what is imported only later was edited before, or may be."""
    seconds: float | None = None
    """What the whole import will take, if that is known."""
    files: int = 0
    """How many modules it will read, as far as that can be told from the sources."""
    number: int = 16
    """So many checkpoints at most."""
    pages: int = 1 << 16
    """Of memory, that may be copied while the import goes on."""
    share: float = 0.08
    """Of the import's time, that checkpoints may cost, but for those before what was edited."""


@dataclass(frozen=True, slots=True)
class Begin(Message):
    """A forked process becomes a worker: import the app, or take up the failure."""

    generation: int
    role: Role = "app"
    failure: Failure | None = None
    in_loop: bool = False
    """Import the app inside the running event loop: it needs one at import."""
    pauses: Pauses | None = None
    """Where to wait as a checkpoint; None: nowhere."""
    is_bare: bool = False
    """Serve the failure without the user's configuration, which may be what fails."""


@dataclass(frozen=True, slots=True)
class Serve(Message):
    """Start the event loop and the lifespan, then accept on these listening sockets. Answered by `Ready`."""

    sockets: tuple[int, ...] = descriptors()


@dataclass(frozen=True, slots=True)
class Hold(Message):
    """Stop accepting and stop reading idle connections; running requests go on."""

    may_return: bool = False
    """If the newer code fails, this worker takes up again: WebSockets stay open until that is known."""


@dataclass(frozen=True, slots=True)
class TakeUp(Message):
    """The hold is over: accept on these listening sockets, and read, as before. The newer code fails."""

    failed: int
    """The generation of the newer code."""
    sockets: tuple[int, ...] = descriptors()


@dataclass(frozen=True, slots=True)
class Drain(Message):
    """Finish what is running and end. Answered by `Draining`, then `Drained`."""

    seconds: float
    """When this time has passed, what still runs is cancelled."""
    handoff: bool = True
    """True: idle connections go to the supervisor (`Handoff`). False: they are closed, the server stops."""
    room: int | None = None
    """So many connections may go there; None: the supervisor has not been asked."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A keep-alive connection on its way."""

    received: bytes = b""
    """What has come of requests that have not begun."""
    was_used: bool = False
    """It has brought a request before, so it times out between requests."""


@dataclass(frozen=True, slots=True)
class Handoff(Message):
    """Idle connections, from the old worker to the supervisor and on to the new worker."""

    connections: tuple[Connection, ...]
    sockets: tuple[int, ...] = descriptors()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a program finds around it, beside its code: a call finds what its caller has at that moment."""

    folder: str
    """The working directory; empty: as it is."""
    environment: dict[str, str]
    sys_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call(Message):
    """A forked process becomes the worker of one call. Answered by `Returned` or `Raised`, or by its end."""

    surroundings: Surroundings
    modules: tuple[str, ...] = ()
    """The project's modules that the payload needs; they are imported in this order before it is looked at."""
    pauses: Pauses | None = None
    """Where to wait as a checkpoint while they are; None: nowhere."""
    standard: tuple[int, ...] = ()
    """The numbers (0, 1, 2) that `streams` are for; the caller may have closed one."""
    streams: tuple[int, ...] = descriptors()
    payload: bytes = bulk()
    """cloudpickle of `(function, arguments, keyword arguments)`."""


# ---------------------------------------------------------------- worker -> supervisor


@dataclass(frozen=True, slots=True)
class Begun(Message):
    """`Begin` has arrived: from here on, what becomes of this process is the app's doing."""


class Read(NamedTuple):
    """Something of the project that a worker's state depends on from now on. A tuple: hundreds of them are sent."""

    kind: Kind
    path: str
    digest: bytes | None
    """See `fingerprint`; None: there is no such file or folder, which was looked for."""
    module: str = ""
    """The name under which it was imported."""


@dataclass(frozen=True, slots=True)
class Reads(Message):
    """What was read, in this order; sent before its content has any effect."""

    reads: tuple[Read, ...]

    def pack(self) -> bytes:
        """For `Channel.lay_down`: there is one of these for each module of an import, and to pickle it takes several
        times as long.

        Raises:
            ValueError: some text is of a class of its own.
        """
        return marshal.dumps(tuple(map(tuple, self.reads)))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The inverse of `pack`."""
        return cls(tuple(map(Read._make, marshal.loads(data))))


@dataclass(frozen=True, slots=True)
class Paused(Message):
    """The sender, a worker that was importing, waits from here on as a checkpoint; a copy of it goes on.

    What the sender has read until now was said before.
    """

    pid: int
    place: str
    """Where it waits, for people: "before routes.users"."""
    channel: tuple[int, ...] = descriptors()
    lifeline: tuple[int, ...] = descriptors()


@dataclass(frozen=True, slots=True)
class Written(Message):
    """A data file that was read, or one in a folder that was listed, is written by this worker itself."""

    path: str


@dataclass(frozen=True, slots=True)
class Unkept(Message):
    """Bytecode cannot be written to the cache folder."""

    reason: str


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Something that project code has left behind, which no copy may share."""

    finding: str
    """What, as in "it left a socket open"."""
    path: str
    """The file that did it; empty: not known."""
    line: int
    seconds: float
    """What the import has taken since then, and takes at every reload."""
    place: str = ""
    """Where it was found, as in "before routes.users", if it is not known who did it."""


@dataclass(frozen=True, slots=True)
class Imported(Message):
    """The app is imported; the worker waits for `Serve`."""

    seconds: float = 0.0
    """What the import of all of it has taken, of which checkpoints may have saved some."""
    obstacle: Obstacle | None = None
    """What has kept this worker from waiting at checkpoints."""
    files: tuple[Stamped, ...] = ()
    """Modules of other people's packages that were imported since the template was forked."""


@dataclass(frozen=True, slots=True)
class NeedsLoop(Message):
    """The import needs a running event loop: fork again with `in_loop`."""


@dataclass(frozen=True, slots=True)
class Failed(Message):
    """The app could not be imported or started. The worker ends."""

    failure: Failure
    files: tuple[Stamped, ...] = ()
    """As those of `Imported`: checkpoints have them."""


@dataclass(frozen=True, slots=True)
class Ready(Message):
    """Lifespan startup is complete and the listening sockets are being accepted on."""

    notices: tuple[int, ...] = descriptors()
    """Where the request lines of what is running can be read (`notices`); empty: nowhere."""


@dataclass(frozen=True, slots=True)
class Draining(Message):
    """`busy`: requests are running, so the new worker should not wait for this one."""

    busy: bool


@dataclass(frozen=True, slots=True)
class Drained(Message):
    """Lifespan shutdown is complete; the process is about to exit."""


@dataclass(frozen=True, slots=True)
class Loaded(Message):
    """Third-party and stdlib modules that this worker had to import itself: worth preloading."""

    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Debugging(Message):
    """A person holds this worker in a debugger: its deadlines rest."""


@dataclass(frozen=True, slots=True)
class Returned(Message):
    """The function of a `Call` returned."""

    payload: bytes = bulk()
    """cloudpickle of the value."""


@dataclass(frozen=True, slots=True)
class Raised(Message):
    """The function of a `Call` raised, or what it returned cannot be sent."""

    type_name: str
    message: str
    traceback: str
    payload: bytes = bulk()
    """cloudpickle of the exception; empty where it cannot be pickled."""
