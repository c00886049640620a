"""Speaks with a real template process over its channel, as the supervisor would, message by message."""

import contextlib
import json
import os
import sys
from pathlib import Path

import cloudpickle
import uvicorn

from firehot_server.channel import Channel
from firehot_server.errors import ChannelClosed
from firehot_server.messages import (
    Begin,
    Begun,
    Configure,
    Exited,
    Extend,
    Extended,
    Fork,
    Forked,
    Preload,
    Preloaded,
    Preloading,
    Reads,
)
from firehot_server.supervisor.processes import spawn_template
from tests.support import processes
from tests.support.files import write
from tests.support.waiting import SECONDS, until


class World:
    """A project's folder, a folder of installed modules, and a place where their code may leave notes."""

    def __init__(self, root):
        self.root = Path(root)
        self.project = self.root / "project"
        self.installed = self.root / "site-packages"
        self.notes = self.root / "notes"
        for folder in (self.project, self.installed, self.notes):
            folder.mkdir()

    def write(self, name, source=""):
        """A file of the project."""
        return write(self.project / name, source)

    def install(self, name, source=""):
        """A third-party file."""
        return write(self.installed / name, source)

    def note(self, name, expression):
        """Source code that leaves the value of an expression for `read`, whole or not at all."""
        path = str(self.notes / name)
        return (
            "import json, os\n"
            f"with open({path!r} + '.draft', 'w') as draft:\n"
            f"    json.dump({expression}, draft)\n"
            f"os.replace({path!r} + '.draft', {path!r})\n"
        )

    def has(self, name):
        """A note of this name was left."""
        return (self.notes / name).exists()

    def read(self, name):
        """The note of this name."""
        return json.loads((self.notes / name).read_text())


class Worker:
    """A forked worker's channel and lifeline."""

    def __init__(self, message):
        self.pid = message.pid
        self.channel = Channel.from_descriptor(message.channel[0])
        self.lifeline = message.lifeline[0]

    def begin(self, generation=1, pauses=None):
        """Tell it to import the app, or to go on with that; and where to leave checkpoints."""
        self.channel.send(Begin(generation, pauses=pauses))

    def hear(self):
        """Its next message, but for the one that it has begun."""
        while isinstance(message := self.channel.receive(SECONDS), Begun):
            pass
        return message

    def read_on(self):
        """What it reads, and the first message that is about something else."""
        reads = []
        while isinstance(message := self.hear(), Reads):
            reads += message.reads
        return reads, message

    def hear_all(self):
        """Every message up to the end of its channel, but for the one that it has begun."""
        return [message for message in _hear_all(self.channel) if not isinstance(message, Begun)]

    def fork(self):
        """Where this waits as a checkpoint: fork a copy that goes on when it is told to."""
        self.channel.send(Fork())
        while not isinstance(message := self.hear(), Forked):
            assert isinstance(message, Exited)
        return Worker(message)

    def cut(self):
        if self.lifeline >= 0:
            os.close(self.lifeline)
            self.lifeline = -1

    def end(self):
        self.cut()
        self.channel.close()
        until(lambda: not processes.is_alive(self.pid), f"the end of worker {self.pid}")


class Template:
    """A template process, and what it has said so far."""

    def __init__(self, world, process):
        self.world = world
        self.announced = []
        self.exited = []
        self._process = process
        self._workers = []
        self._copies = []

    @classmethod
    def spawn(cls, world, **environment):
        """Start one, as the supervisor does; `None` removes a variable."""
        merged = {**os.environ, **environment}
        template = cls(world, spawn_template({key: value for key, value in merged.items() if value is not None}))
        template.configure()
        return template

    @property
    def pid(self):
        return self._process.pid

    def send(self, message):
        self._process.channel.send(message)
        self._process.channel.flush_within(SECONDS)

    def configure(self, app="app:app", path=None, argv=("firehot-test",), cache_dir=""):
        """Send `Configure`: the project comes first on the path, then what is installed."""
        path = path or (str(self.world.project), str(self.world.installed), *sys.path)
        config = uvicorn.Config(app, log_config=None)
        payload = cloudpickle.dumps((config, uvicorn.Server(config).run))
        self.send(Configure(tuple(path), tuple(argv), payload, cache_dir))

    def preload(self, *modules):
        """Ask for modules; the `Preloaded` that answers."""
        self.send(Preload(modules))
        return self.hear(Preloaded)

    def skipped(self, *modules):
        """Ask for modules; those that were skipped, by name."""
        return {skipped.module: skipped for skipped in self.preload(*modules).skipped}

    def has(self, *modules):
        """Whether these are imported already, so that asking for them announces nothing."""
        before = len(self.announced)
        self.preload(*modules)
        return len(self.announced) == before

    def fork(self):
        """Fork a process that waits to become a worker."""
        self.send(Fork())
        return self.take_worker(self.hear(Forked))

    def take_worker(self, message):
        """The worker that a `Forked` tells of."""
        self._workers.append(Worker(message))
        return self._workers[-1]

    def run_in_worker(self, source):
        """Fork a worker that runs this as its app module, and wait for its end; the status of its exit."""
        self.world.write("app.py", source)
        worker = self.fork()
        worker.begin()
        worker.hear_all()
        return self.exit_code(worker.pid)

    def extend(self, *modules):
        """Ask for a copy with more modules; the copy, which has yet to say `Preloaded`."""
        self.send(Extend(modules))
        return self.take_copy(self.hear(Extended))

    def take_copy(self, message):
        """The copy that an `Extended` tells of."""
        self._copies.append(Template(self.world, Worker(message)))
        return self._copies[-1]

    def receive(self):
        """The next message, whatever it is."""
        return self._process.channel.receive(SECONDS)

    def hear(self, kind):
        """The next message of this kind; announcements and exits before it are kept."""
        while not isinstance(message := self.receive(), kind):
            self._keep(message)
        return message

    def hear_all(self):
        """Every message up to the end of its channel, but announcements and exits."""
        return [message for message in _hear_all(self._process.channel) if not self._is_kept(message)]

    def exit_code(self, pid):
        """How this child ended, as the template tells; negative for a signal."""
        while pid not in {message.pid for message in self.exited}:
            self.exited.append(self.hear(Exited))
        (status,) = [message.status for message in self.exited if message.pid == pid]
        return os.waitstatus_to_exitcode(status)

    def _keep(self, message):
        if not self._is_kept(message):
            raise AssertionError(f"unexpected: {message}")

    def _is_kept(self, message):
        if isinstance(message, Preloading):
            self.announced.append(message.module)
        elif isinstance(message, Exited):
            self.exited.append(message)
        else:
            return False
        return True

    @property
    def is_alive(self):
        return processes.is_alive(self.pid)

    def cut(self):
        """End it by its lifeline."""
        self._process.cut()

    def close_channel(self):
        self._process.channel.close()

    def wait(self):
        """The exit status of a spawned template, negative for a signal."""
        return self._process.popen.wait(SECONDS)

    def end(self):
        """End the whole family."""
        for member in (*self._workers, *self._copies):
            member.end()
        self.cut()
        self.close_channel()
        if hasattr(self._process, "popen"):
            self.wait()
        else:
            until(lambda: not self.is_alive, f"the end of copy {self.pid}")


@contextlib.contextmanager
def running(world, **environment):
    """A configured template, ended afterwards."""
    template = Template.spawn(world, **environment)
    try:
        yield template
    finally:
        template.end()


def _hear_all(channel):
    messages = []
    try:
        while True:
            messages.append(channel.receive(SECONDS))
    except ChannelClosed:
        return messages
