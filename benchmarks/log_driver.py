"""One import of an app as a worker does it: `python -P log_driver.py TASK`, TASK as JSON. Prints how long it took.

What is third-party is imported before, as the template has it. With a channel, what the import reads is logged and
sent there.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Task:
    """What to import. `channel` is the descriptor of a stream socket; None: do not log."""

    module: str
    preload: tuple[str, ...]
    cache: str
    channel: int | None


def main() -> None:
    """Do the task."""
    task = Task(**json.loads(sys.argv[1]))
    sys.path.insert(0, os.getcwd())
    for name in task.preload:
        importlib.import_module(name)
    gc.freeze()
    finish = _log(task) if task.channel is not None else None
    begun = (time.perf_counter(), time.process_time())
    importlib.import_module(task.module)
    if finish is not None:
        finish()
    ended = (time.perf_counter(), time.process_time())
    print(*((end - start) * 1000 for start, end in zip(begun, ended, strict=True)))


def _log(task: Task) -> Callable[[], None]:
    """From now on, as `worker.serving` does; returns what is to be done at the end of the import."""
    from firehot_server.channel import Channel
    from firehot_server.discovery.origin import Origins
    from firehot_server.location import PACKAGE
    from firehot_server.ties import Ties
    from firehot_server.worker.audit_events import AuditEvents
    from firehot_server.worker.link import Link
    from firehot_server.worker.read_log import ReadLog

    assert task.channel is not None
    origins = Origins.of_interpreter(extra_third_party=[str(PACKAGE)])
    link = Link(Ties(Channel.from_descriptor(task.channel), -1))
    log = ReadLog(origins, os.getcwd(), task.cache, link.send, link.lay_down, before=lambda _: None)
    log.begin(AuditEvents())
    return log.imported


if __name__ == "__main__":
    main()
