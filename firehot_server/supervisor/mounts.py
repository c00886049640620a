"""Mounts through which the kernel does not hear of every edit: the files are also edited elsewhere. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

# By the type in mountinfo: other machines' file systems, and what virtual machines show of their host's.
_SHARED = frozenset(
    {
        *("9p", "virtiofs", "fakeowner", "grpcfuse", "osxfs", "vboxsf", "vmhgfs", "prl_fs"),
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre"),
    }
)
# Any FUSE may be shared, but for those whose files nobody edits other than through them. (Not so named is "fuseblk",
# which is a local disk.)
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.gocryptfs", "fuse.encfs", "fuse.cryfs"})


@dataclass(frozen=True, slots=True)
class Mount:
    """Something that is mounted.

    Attributes:
        point: the folder where it is.
        kind: the type of the file system, `"ext4"`, `"fuse.sshfs"`.
    """

    number: int
    parent: int
    point: str
    kind: str

    @property
    def is_shared(self) -> bool:
        """Its files may be edited without this kernel's knowledge."""
        is_fuse = self.kind == "fuse" or self.kind.startswith("fuse.")
        return self.kind in _SHARED or (is_fuse and self.kind not in _LOCAL_FUSE)


def parse(mountinfo: str) -> list[Mount]:
    """Read what `/proc/PID/mountinfo` holds; lines that make no sense are passed over. See proc_pid_mountinfo(5)."""
    mounts = []
    for line in mountinfo.split("\n"):
        fields, _, rest = line.partition(" - ")
        try:
            number, parent, _, _, point, *_ = fields.split(" ")
            mounts.append(Mount(int(number), int(parent), _unescape(point), rest.split(" ")[0]))
        except ValueError:
            continue
    return mounts


def mount_of(path: str, mounts: list[Mount]) -> Mount | None:
    """The mount that holds this file or folder.

    Args:
        path: absolute, and without symbolic links.
        mounts: of `parse`; a mount that is hidden by another is among them.
    """
    numbers = {mount.number for mount in mounts}
    above = [mount for mount in mounts if _holds(mount, path)]
    # As the kernel walks: from each mount to the first one below it on the way.
    following = [mount for mount in above if mount.parent not in numbers or mount.parent == mount.number]
    found = None
    while following:
        found = min(following, key=lambda mount: len(mount.point))
        following = [mount for mount in above if mount.parent == found.number != mount.number]
    return found


def _holds(mount: Mount, path: str) -> bool:
    return path == mount.point or path.startswith(f"{mount.point.rstrip('/')}/")


def _unescape(text: str) -> str:
    r"""`"a\040b"` → `"a b"`."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
