"""Entry point of a clean process: `python .../firehot_server/clean PACKAGES MODULE ARGUMENTS...`.

Started by its path rather than with `-m`, so that the current folder never is on `sys.path` while the interpreter
and this package start: a project's own `random.py` must not be run here. Nor by way of PYTHONPATH, which often names
the project: what it names is looked at last for now. The real path comes later.
"""

import os
import sys

if __name__ == "__main__":
    sys.path.pop(0)  # put there by the interpreter: this folder
    named = {os.path.abspath(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry}
    sys.path.sort(key=lambda entry: entry in named)

    import typing  # noqa: F401 - what the package itself needs; beside it may lie anything

    # The caller's own copy of this package, even if another one is installed.
    sys.path.insert(0, sys.argv[1])
    import firehot_server  # noqa: F401

    sys.path.append(sys.path.pop(0))
    from importlib import import_module

    import_module(sys.argv[2]).main(*sys.argv[3:])
