"""The working directory, which may be removed, and made again, while the server runs."""

from __future__ import annotations

import os
from typing import Literal

State = Literal["here", "gone", "back"]


class WorkingFolder:
    """This process's, as it was when this was made."""

    def __init__(self) -> None:
        self.path = os.getcwd()

    def shorten(self, path: str) -> str:
        """As somebody names it who works here."""
        return path.removeprefix(f"{self.path}/")

    def look(self) -> State:
        """Whether the path leads where this process is, to nothing, or to another folder: then this process goes there.

        Processes that were started before stay where they are, in a folder without a name.
        """
        try:
            if os.path.samestat(os.stat(self.path), os.stat(os.curdir)):
                return "here"
            os.chdir(self.path)
        except OSError:
            return "gone"
        return "back"
