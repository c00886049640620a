"""Files of installed packages that were imported: has one been edited in place?"""

import os

import pytest

from firehot_server.stamps import stamp_of
from firehot_server.supervisor import held as held_module
from firehot_server.supervisor.held import Held


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Enough for several turns."""
    monkeypatch.setattr(held_module, "_AT_ONCE", 100)
    paths = [tmp_path / f"m{number}.py" for number in range(250)]
    for path in paths:
        path.write_text("VALUE = 1\n")
    return [str(path) for path in paths]


def stamped(files):
    """As they are now."""
    return tuple((file, stamp_of(file)) for file in files)


@pytest.fixture
def held(files):
    held = Held()
    held.add(stamped(files))
    return held


def write(path, text, at=100):
    with open(path, "w") as file:
        file.write(text)
    os.utime(path, (at, at))


def looks(held):
    """What each look finds, up to the last one."""
    held.look_anew()
    found, goes_on = [], True
    while goes_on:
        edited, goes_on = held.look_on()
        found.append(edited)
    return found


def test_nothing_was_edited(held):
    """Others get a turn now and then."""
    assert looks(held) == ["", "", "", ""]


@pytest.mark.parametrize("edit", ["size", "time", "gone", "replaced"])
@pytest.mark.parametrize("number", [0, 99, 100, 249])
def test_one_was_edited(held, files, number, edit):
    """In whatever way that a look at it can show."""
    path = files[number]
    status = os.stat(path)
    match edit:
        case "size":
            write(path, "VALUE = 1  # more\n")
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        case "time":
            write(path, "VALUE = 2\n")
        case "gone":
            os.unlink(path)
        case "replaced":
            write(f"{path}.new", "VALUE = 2\n")
            os.utime(f"{path}.new", ns=(status.st_atime_ns, status.st_mtime_ns))
            os.replace(f"{path}.new", path)

    assert looks(held)[-1] == path


def test_one_was_edited_since_it_was_read(files):
    """Who tells of it tells how it was."""
    told = stamped(files)
    write(files[0], "VALUE = 2\n")
    held = Held()
    held.add(told)
    assert looks(held) == [files[0]]


def test_a_later_worker_has_imported_it_as_it_is_now(held, files):
    """What is forked of it has that."""
    write(files[0], "VALUE = 2\n")
    held.add(stamped(files[:1]))
    assert not any(looks(held))


def test_a_new_template(held, files):
    """It reads everything anew."""
    write(files[0], "VALUE = 2\n")
    held.look_anew()
    held.clear()
    assert held.look_on() == ("", False)
    held.add(stamped(files))
    assert not any(looks(held))


def import_anew(held, files):
    """By a new template."""
    held.clear()
    held.add(stamped(files))


def test_nobody_edits_a_file_that_each_import_writes(held, files):
    """Found once; when the user does something, once more."""
    write(files[0], "VALUE = 2\n")
    assert looks(held) == [files[0]]
    for number in range(3):
        import_anew(held, files)
        write(files[0], f"VALUE = {number}  # and more\n", at=number)
        assert not any(looks(held))
    held.forgive()
    assert looks(held) == [files[0]]


def test_a_file_that_each_import_writes_alike(held, files):
    """From the second time on its content is known."""
    write(files[0], "VALUE = 2\n", at=100)
    assert looks(held) == [files[0]]
    for time in range(200, 500, 100):
        held.forgive()
        import_anew(held, files)
        write(files[0], "VALUE = 2\n", at=time)
        assert not any(looks(held))
    write(files[0], "VALUE = 3\n", at=600)
    assert looks(held) == [files[0]]


def test_an_edit_that_is_taken_back(held, files):
    """Each of them counts."""
    for time, text in enumerate(("VALUE = 2\n", "VALUE = 1\n", "VALUE = 2\n")):
        held.forgive()
        write(files[0], text, at=time)
        assert looks(held) == [files[0]]
        import_anew(held, files)


def test_what_is_no_file(tmp_path):
    """It is none later, either."""
    held = Held()
    held.add(stamped([str(tmp_path / "module.py")]))
    assert not any(looks(held))
