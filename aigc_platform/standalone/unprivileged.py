"""Running one program as somebody else than root, where we are root: PostgreSQL insists on it.

Linux can show a program a user id of its own (a user namespace): PostgreSQL then believes that it runs as `nobody`
while its files stay ours, so it reads a folder below `/root` and leaves nothing behind that we cannot delete. Where
containers forbid namespaces, the program really becomes `nobody` and its folders are handed over.
"""

import ctypes
import functools
import os
import subprocess
import sys
from pathlib import Path

from aigc_platform.standalone.errors import StandaloneError

_CLONE_NEWUSER = 0x1000_0000
# The customary id of `nobody`; PostgreSQL looks its name up.
_NOBODY = 65_534
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def is_root() -> bool:
    """Return whether this process has root's powers."""
    return os.geteuid() == 0


def leave_root() -> None:
    """In a freshly forked child of root: become somebody else, for good."""
    if _namespaces_work():
        _enter_user_namespace()
    else:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)


def hand_over(folder: Path, *, program: Path) -> None:
    """Make sure that the program, once it has left root, owns the folder and everything in it.

    Raises:
        StandaloneError: it could reach neither the folder nor its own files.
    """
    if not is_root():
        return
    owner = 0
    if not _namespaces_work():
        owner = _NOBODY
        _require_reachable(folder)
        _require_reachable(program)
    if folder.stat().st_uid == owner:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, owner, follow_symlinks=False)


def _require_reachable(path: Path) -> None:
    for parent in path.parents:
        if not parent.stat().st_mode & 0o001:
            raise StandaloneError(
                f"PostgreSQL does not run as root, and no other user may enter {parent}: "
                f"start the stack as an ordinary user, or move it to a folder such as /srv"
            )


@functools.cache
def _namespaces_work() -> bool:
    if _LIBC is None:
        return False
    try:
        subprocess.run(["true"], check=True, preexec_fn=_enter_user_namespace)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _enter_user_namespace() -> None:
    assert _LIBC is not None  # noqa: S101 - `_namespaces_work` has checked it
    group, user = os.getegid(), os.geteuid()
    if _LIBC.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "no user namespaces here")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{_NOBODY} {group} 1", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{_NOBODY} {user} 1", encoding="ascii")
