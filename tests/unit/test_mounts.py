"""Whether a folder has to be polled is decided by the type of the mount that holds it."""

import pytest

from firehot_server.supervisor.mounts import Mount, mount_of, parse

# Docker Desktop: the project from the host, a volume for the virtual environment inside it.
DESKTOP = r"""
1101 900 0:277 / / rw,relatime master:200 - overlay overlay rw,lowerdir=/a:/b,upperdir=/c
1102 1101 0:280 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
1103 1101 0:42 /Users/jo/shop /app rw,nosuid,nodev,relatime shared:7 master:3 - virtiofs virtiofs0 rw
1104 1103 254:1 /volumes/venv/_data /app/.venv rw,relatime - ext4 /dev/vda1 rw,discard
1105 1101 0:43 / /mnt/with\040space\134and\011tab rw - 9p drvfs rw,aname=drvfs;path=C:\134
1106 1101 0:44 /host_mark/Users /data ro - fakeowner /run/host_mark/Users rw,fakeowner
"""


@pytest.mark.parametrize(
    ("path", "point", "kind"),
    [
        ("/", "/", "overlay"),
        ("/usr/lib", "/", "overlay"),
        ("/app", "/app", "virtiofs"),
        ("/app/shop/models.py", "/app", "virtiofs"),
        ("/application", "/", "overlay"),
        ("/app/.venv", "/app/.venv", "ext4"),
        ("/app/.venv/lib/x.py", "/app/.venv", "ext4"),
        ("/app/.venv2", "/app", "virtiofs"),
        ("/mnt/with space\\and\ttab/x", "/mnt/with space\\and\ttab", "9p"),
        ("/data/x", "/data", "fakeowner"),
    ],
)
def test_the_mount_that_holds_a_path(path, point, kind):
    """The nearest one above it, by whole names."""
    mount = mount_of(path, parse(DESKTOP))
    assert (mount.point, mount.kind) == (point, kind)


@pytest.mark.parametrize(
    ("mounts", "path", "kind"),
    [
        # mounted twice on one place: the second one, whose parent is the first
        ([(10, 1, "/", "ext4"), (11, 10, "/a", "nfs"), (12, 11, "/a", "tmpfs")], "/a/x", "tmpfs"),
        ([(12, 11, "/a", "tmpfs"), (11, 10, "/a", "nfs"), (10, 1, "/", "ext4")], "/a/x", "tmpfs"),
        # mounted over a folder in which there was a mount: that one is out of reach
        ([(10, 1, "/", "ext4"), (11, 10, "/a/b", "nfs"), (12, 10, "/a", "tmpfs")], "/a/b/x", "tmpfs"),
        ([(10, 1, "/", "ext4"), (12, 10, "/a", "tmpfs"), (11, 10, "/a/b", "nfs")], "/a/b/x", "tmpfs"),
        # the root over the initial one, which is its own parent
        ([(1, 1, "/", "rootfs"), (20, 1, "/", "ext4")], "/x", "ext4"),
        # a changed root that is no mount itself: only what lies below is listed
        ([(11, 10, "/src", "9p")], "/src/x", "9p"),
    ],
)
def test_mounts_over_mounts(mounts, path, kind):
    """Found as the kernel finds them, in whatever order they are listed."""
    lines = [f"{number} {parent} 0:1 / {point} rw - {kind} d rw" for number, parent, point, kind in mounts]
    assert mount_of(path, parse("\n".join(lines))).kind == kind


@pytest.mark.parametrize("text", ["", "\n\n", "nonsense", "1 2 3", "x y 0:1 / / rw - ext4 d rw"])
def test_what_cannot_be_read(text):
    """No mount is known then."""
    assert parse(text) == []
    assert mount_of("/app", parse(text)) is None


def test_a_path_below_no_mount():
    """Of a changed root."""
    assert mount_of("/elsewhere", parse("11 10 0:2 / /src rw - 9p s rw")) is None


@pytest.mark.parametrize(
    ("kind", "is_shared"),
    [
        ("ext4", False),
        ("btrfs", False),
        ("overlay", False),
        ("tmpfs", False),
        ("zfs", False),
        ("fuseblk", False),
        ("fuse.fuse-overlayfs", False),
        ("fuse.gocryptfs", False),
        ("fusectl", False),
        ("", False),
        ("9p", True),
        ("virtiofs", True),
        ("fakeowner", True),
        ("fuse", True),
        ("fuse.grpcfuse", True),
        ("fuse.osxfs", True),
        ("fuse.sshfs", True),
        ("fuse.bindfs", True),
        ("fuse.vmhgfs-fuse", True),
        ("grpcfuse", True),
        ("vboxsf", True),
        ("prl_fs", True),
        ("nfs", True),
        ("nfs4", True),
        ("nfsd", False),
        ("cifs", True),
        ("smb3", True),
        ("ceph", True),
    ],
)
def test_which_types_need_polling(kind, is_shared):
    """Those whose files are edited elsewhere, too."""
    assert Mount(1, 0, "/", kind).is_shared is is_shared
