"""A process that helps `sharing` to scan files: `python -I -S .../discovery/helper.py PARENT CONDITIONS`.

Its standard input holds the marshalled list of files, each as path, module and whether that is a package. To its
standard output it adds one frame for each file that can be read: a length of four bytes, and the marshalled number of
the file in that list, together with what was found.
"""

import gc
import marshal
import os
import sys


def main(parent: int, conditions: str) -> None:
    """Scan all files that are asked for; none, if the code on disk is not that of the parent any more."""
    from firehot_server.discovery.scans import CONDITIONS, scanned

    if conditions != CONDITIONS:
        return
    gc.disable()  # trees have no cycles: this saves a fifth of the time
    for number, task in enumerate(marshal.load(sys.stdin.buffer)):
        if os.getppid() != parent:  # nobody waits for the rest
            return
        try:
            found = marshal.dumps((number, tuple(scanned(*task))))
        except OSError:  # the parent will see for itself
            continue
        frame = len(found).to_bytes(4, "big") + found
        if os.write(1, frame) < len(frame):  # the disk is full: what follows could not be told apart
            return


if __name__ == "__main__":
    # Appended: beside the package may lie anything, such as another `typing`.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    main(int(sys.argv[1]), sys.argv[2])
