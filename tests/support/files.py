"""Writing the files that a test is about."""

from textwrap import dedent


def write(path, source=""):
    """One file, and the folders that it needs; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    return path


def write_all(root, files):
    """Name below `root` → text, which may be indented as the test is."""
    for name, text in files.items():
        write(root / name, dedent(text))
