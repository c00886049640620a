"""What earlier runs learned about an app, kept in the user's cache folder. Losing it costs time, never correctness."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Memory:
    """Remembered per interpreter, environment and app.

    Attributes:
        learned: modules that workers loaded although no static import reaches them.
        rejected: module → (why it cannot be preloaded, stamp of its file when that was found).
        static: what static imports reached when `learned` was written.
    """

    path: Path
    learned: list[str] = field(default_factory=list)
    rejected: dict[str, tuple[str, str]] = field(default_factory=dict)
    static: list[str] = field(default_factory=list)

    @classmethod
    def of_app(cls, folder: Path, app: str, app_dir: str) -> Memory:
        """Read what is known of this app; nothing, if the file is missing or damaged."""
        key = "\0".join((sys.version, sys.prefix, str(Path(sys.executable).resolve()), app_dir, app))
        path = folder / "apps" / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.json"
        memory = cls(path)
        try:
            memory._fill(json.loads(path.read_text()))
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return cls(path)
        return memory

    def _fill(self, data: dict[str, Any]) -> None:
        self.learned = [str(name) for name in data["learned"]]
        self.rejected = {str(k): (str(v[0]), str(v[1])) for k, v in data["rejected"].items()}
        self.static = [str(name) for name in data["static"]]

    def save(self) -> None:
        """Write, all or nothing.

        Raises:
            OSError: the cache folder cannot be written.
        """
        data = {key: value for key, value in asdict(self).items() if key != "path"}
        draft = self.path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_text(json.dumps(data))
            draft.replace(self.path)
        except OSError:
            draft.unlink(missing_ok=True)  # what a full disk has taken of it
            raise
