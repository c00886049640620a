"""Entry point of the template process: `python .../firehot_server/template CHANNEL LIFELINE`.

Started by its path rather than with `-m`, so that the current folder never is on `sys.path` while the interpreter
and this package start: a project's own `random.py` must not be run here.
"""

import sys

if __name__ == "__main__":
    # Put there by the interpreter: this folder. The supervisor sends the real path later.
    package_folder = sys.path.pop(0)
    sys.path.append(sys.argv[1])

    from firehot_server.template.process import main

    sys.path.pop()
    main(int(sys.argv[2]), int(sys.argv[3]))
