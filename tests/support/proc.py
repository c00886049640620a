"""A made-up /proc."""


def process(proc, pid, children=(), private=None, socket=None, state="S"):
    """A process: its children, its private memory by kind, in kB, and one descriptor, of a socket."""
    task = proc / str(pid) / "task" / str(pid)
    task.mkdir(parents=True)
    (task / "children").write_text("".join(f"{child} " for child in children))
    (proc / str(pid) / "stat").write_text(f"{pid} (a) name) {state} 1 2 3")
    (proc / str(pid) / "fd").mkdir()
    if socket is not None:
        (proc / str(pid) / "fd" / "7").symlink_to(f"socket:[{socket}]")
    if private is not None:
        lines = ["Pss: 999 kB", *(f"Private_{kind}: {size} kB" for kind, size in private.items())]
        (proc / str(pid) / "smaps_rollup").write_text("\n".join(lines))


def listens(proc, port, socket, accepted):
    """A socket that accepts connections to this port, and one that was accepted there."""
    (proc / "net").mkdir()
    (proc / "net" / "tcp").write_text(
        "  sl  local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode\n"
        f"   0: 0100007F:{port:04X} 00000000:0000 0A 0:0 00:0 0 1000 0 {socket} 1 0 100 0 0 10 0\n"
        f"   1: 0100007F:{port:04X} 0100007F:ABCD 01 0:0 00:0 0 1000 0 {accepted} 1 0 100 0 0 10 0\n"
    )
