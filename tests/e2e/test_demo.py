"""`python -m sample_app.demo`, as the README has it."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PRINTED = """\
The job, in a new interpreter:  +[\\d,]+ ms
Entering the environment, once: +[\\d,]+ ms
The job, by exec:  +[\\d,]+ ms   \\d+ times as fast

The answer, either way:     (\\w+, \\d+ birds) \\(trend over 7 days\\)
After an edit of trends.py: \\1 \\(trend over 3 days\\)
"""


def test_demo():
    """Figures, one answer, and the edit; this repository's files stay as they are."""
    before = {path: path.read_bytes() for path in (ROOT / "sample_app").glob("**/*.py")}
    command = [sys.executable, "-m", "sample_app.demo"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(PRINTED, result.stdout), result.stdout
    assert {path: path.read_bytes() for path in before} == before
