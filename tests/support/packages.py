"""A project's package beside installed modules, as a library user has them; and scripts that use both."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.files import write


class Script(subprocess.Popen):
    """A program that does not outlive the test that fails."""

    def __exit__(self, kind, *rest):
        if kind is not None:
            self.kill()
        return super().__exit__(kind, *rest)


class Place:
    """A project folder and a folder of installed modules, both on `sys.path`."""

    def __init__(self, root):
        self.root = Path(root)
        self.project = self.root / "project"
        self.installed = self.root / "site-packages"
        self.project.mkdir()
        self.installed.mkdir()
        self.write("shop/__init__.py")

    @property
    def path(self):
        """What goes in front of `sys.path`."""
        return [str(self.project), str(self.installed)]

    def write(self, name, source=""):
        """A file of the project."""
        return write(self.project / name, source)

    def install(self, name, source=""):
        """A third-party module."""
        return write(self.installed / name, source)

    def remove(self, name):
        (self.project / name).unlink()

    def start(self, *arguments, **options):
        """Run Python on the project, as a user would; its output is kept apart."""
        variables = {"PYTHONPATH": os.pathsep.join(self.path), "PYTHONUNBUFFERED": ""}  # lines in one piece
        environment = {**os.environ, **variables, **options.pop("environment", {})}
        return Script(
            [sys.executable, *arguments],
            cwd=self.project,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, *arguments, input=None, **options):
        """Run Python to its end; (status, stdout, stderr)."""
        with self.start(*arguments, stdin=subprocess.PIPE, **options) as process:
            try:
                output, errors = process.communicate(input, timeout=60)
            finally:
                process.kill()
            return process.returncode, output, errors
