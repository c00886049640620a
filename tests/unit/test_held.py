"""Files of installed packages that were imported: has one been edited in place?"""

import os

import pytest

from firehot_server.supervisor.held import Held


@pytest.fixture
def files(tmp_path):
    """Enough for several turns."""
    paths = [tmp_path / f"m{number}.py" for number in range(250)]
    for path in paths:
        path.write_text("VALUE = 1\n")
    return [str(path) for path in paths]


def looks(held):
    """What each look finds, up to the last one."""
    held.look_anew()
    found, goes_on = [], True
    while goes_on:
        edited, goes_on = held.look_on()
        found.append(edited)
    return found


def test_nothing_was_edited(files):
    """Others get a turn now and then."""
    held = Held()
    held.add(files)
    assert looks(held) == ["", "", "", ""]


@pytest.mark.parametrize("edit", ["size", "time", "gone"])
@pytest.mark.parametrize("number", [0, 99, 100, 249])
def test_one_was_edited(files, number, edit):
    """In whatever way that a look at it can show."""
    held = Held()
    held.add(files)
    path = files[number]
    match edit:
        case "size":
            status = os.stat(path)
            with open(path, "a") as file:
                file.write("# more\n")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        case "time":
            os.utime(path, (100, 100))
        case "gone":
            os.unlink(path)

    assert looks(held)[-1] == path


def test_what_was_imported_before_it_was_edited(files):
    """A later worker imports the file once more; the template has what it had."""
    held = Held()
    held.add(files)
    os.utime(files[0], (100, 100))
    held.add(files)
    assert looks(held) == [files[0]]


def test_a_new_template(files):
    """It reads everything anew."""
    held = Held()
    held.add(files)
    os.utime(files[0], (100, 100))
    held.look_anew()
    held.clear()
    assert held.look_on() == ("", False)
    held.add(files)
    assert not any(looks(held))


def test_what_is_no_file(tmp_path):
    """Modules in an archive have a place in it."""
    held = Held()
    held.add([str(tmp_path / "library.zip" / "module.py")])
    assert not any(looks(held))
