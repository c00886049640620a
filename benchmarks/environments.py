"""Virtual environments for the servers and libraries: made once, named after what is in them, reused while complete."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".venvs" / "bench"

INSTALL_DEADLINE = 1_200.0
"""Seconds for one pip run: the wheels of pandas, SciPy and matplotlib are large."""

_MARKER = "complete.json"
_PREFERRED = ("3.13", "3.12", "3.14")
_PROBE = "import ensurepip, json, ssl, sys, venv; print(json.dumps(sys.version_info[:3]))"
_VERSIONS = (
    "import importlib.metadata as m, json;"
    "print(json.dumps({d.metadata['Name'].lower().replace('_', '-'): d.version for d in m.distributions()}))"
)


class SetupError(Exception):
    """An environment could not be made. The message says which, and where pip's output is."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that can make virtual environments."""

    executable: Path
    version: tuple[int, int, int]

    def __str__(self) -> str:
        return ".".join(map(str, self.version))


@dataclass(frozen=True)
class Recipe:
    """What an environment holds. `source` is a project's folder, installed as users do: not editable."""

    name: str
    requirements: tuple[str, ...]
    minimum: tuple[int, int] = (3, 11)
    below: tuple[int, int] | None = None
    source: Path | None = None

    def supports(self, interpreter: Interpreter) -> bool:
        """Whether all that is in it can be installed for this Python."""
        version = interpreter.version[:2]
        return version >= self.minimum and (self.below is None or version < self.below)

    @property
    def needs(self) -> str:
        """The Pythons that it supports, for a person."""
        lowest = ".".join(map(str, self.minimum))
        return lowest if self.below is None else f"{lowest} to below {'.'.join(map(str, self.below))}"


@dataclass(frozen=True)
class Environment:
    """A finished environment."""

    folder: Path
    interpreter: Interpreter
    versions: dict[str, str]

    @property
    def scripts(self) -> Path:
        """Where the commands are."""
        return self.folder / "bin"


def find_interpreter(asked: str | None, recipes: Collection[Recipe]) -> Interpreter:
    """The one Python that everything runs on: `asked`, else one that all `recipes` support if there is any.

    One for all, because a comparison of servers on different interpreters compares the interpreters as well.
    """
    if asked is not None:
        found = _examine(Path(shutil.which(asked) or asked))
        if found is None:
            raise SetupError(f"{asked} is not a Python that can make virtual environments")
        return found
    for candidate in _candidates():
        found = _examine(candidate)
        if found is not None and all(recipe.supports(found) for recipe in recipes):
            return found
    return Interpreter(Path(sys.executable), sys.version_info[:3])


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    for version in _PREFERRED:
        on_path = shutil.which(f"python{version}")
        if on_path is not None:
            yield Path(on_path)
        yield from sorted(Path.home().glob(f".pyenv/versions/{version}*/bin/python{version}"), reverse=True)


def _examine(executable: Path) -> Interpreter | None:
    """Run it, rather than trust its name: a pyenv shim exists for versions that are not enabled."""
    try:
        result = subprocess.run([executable, "-c", _PROBE], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    major, minor, micro = json.loads(result.stdout)
    return Interpreter(executable, (major, minor, micro))


def ensure(recipe: Recipe, interpreter: Interpreter, cache: Path = CACHE) -> Environment:
    """The environment of this recipe: the cached one if it is complete, else a new one."""
    folder = cache / f"{recipe.name}-{fingerprint(recipe, interpreter)}"
    wanted = {"source": None if recipe.source is None else source_digest(recipe.source)}
    if _read_marker(folder) != wanted:
        _build(folder, recipe, interpreter)
        (folder / _MARKER).write_text(json.dumps(wanted), encoding="utf-8")
    return Environment(folder, interpreter, _installed_versions(folder))


def fingerprint(recipe: Recipe, interpreter: Interpreter) -> str:
    """Changes with the requirements and the interpreter, so that no environment is ever reused for others."""
    text = "\n".join([str(interpreter), *sorted(recipe.requirements)])
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def source_digest(source: Path) -> str:
    """Changes with any file that ends up in the project's wheel: then it is installed again."""
    digest = hashlib.sha256()
    for path in sorted(_wheel_files(source)):
        digest.update(f"{path.relative_to(source)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _wheel_files(source: Path) -> Iterator[Path]:
    yield source / "pyproject.toml"
    for package in ("firehot_server", "integrations"):
        for path in (source / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def _read_marker(folder: Path) -> object:
    try:
        return json.loads((folder / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _build(folder: Path, recipe: Recipe, interpreter: Interpreter) -> None:
    """Make or bring up to date. The marker goes first: a run cut short must not look complete."""
    print(f"environment {folder.name}: installing (Python {interpreter}) ...", file=sys.stderr, flush=True)
    fresh = not (folder / _MARKER).exists()
    (folder / _MARKER).unlink(missing_ok=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    with log.open("wb") as output:
        if fresh:
            _run([interpreter.executable, "-m", "venv", "--clear", folder], output, log)
        source = [] if recipe.source is None else [recipe.source]
        _run([folder / "bin" / "python", *_PIP, *recipe.requirements, *source], output, log)


_PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")


def _run(command: list[Path | str], output: IO[bytes], log: Path) -> None:
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=INSTALL_DEADLINE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SetupError(f"{error}; its output is in {log}") from error


def _installed_versions(folder: Path) -> dict[str, str]:
    result = subprocess.run(
        [folder / "bin" / "python", "-c", _VERSIONS], capture_output=True, text=True, timeout=60, check=True
    )
    versions: dict[str, str] = json.loads(result.stdout)
    return versions
