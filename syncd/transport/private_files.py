"""Files that only this user may read: written whole or not at all, and never in the place of something else."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DRAFT, DRAFT_END = ".syncd-", ".new"
STALE_SECONDS = 3600.0
"""A draft that is older was left by a process that was killed."""


class SpecialFile(OSError):
    """A folder, a device, a pipe or a socket stands where a file of ours should be."""


def is_special(path: Path) -> bool:
    """Is there something, and is it no regular file? A link counts as what it leads to."""
    with suppress(FileNotFoundError):
        return not stat.S_ISREG(path.stat().st_mode)
    return False


@contextmanager
def draft_in(folder: Path) -> Iterator[Path]:
    """Make an empty new file (0600) in the folder, under a random name; at the end of the block it is removed, if left.

    Nobody can foresee the name and put a file there first: in a container every process has the same id, so the name
    is not made of it. Raises `OSError`.
    """
    _remove_stale(folder)
    draft = folder / f"{DRAFT}{secrets.token_hex(8)}{DRAFT_END}"
    # Made anew or not at all: a file or link that stands there is somebody's, and is not written to.
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    try:
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def _remove_stale(folder: Path) -> None:
    # Tidying up is no reason for a file not to be written.
    with suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            if entry.name.startswith(DRAFT) and entry.name.endswith(DRAFT_END):
                with suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_SECONDS:
                        Path(entry.path).unlink()


def write_private(path: Path, data: bytes, *, only_new: bool = False) -> None:
    """Put `data` at `path`, durably. A link is followed to its file.

    Raises `FileExistsError` with `only_new` where something is there already, `SpecialFile` where it is no file,
    `OSError` for what the system refuses; then what was there before is there still.
    """
    place = path.resolve()
    if is_special(place):
        raise SpecialFile(errno.EINVAL, "not a regular file")
    with draft_in(place.parent) as draft:
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            # The bytes before the name: after a power cut the name must not lead to an empty file.
            os.fsync(file.fileno())
        publish(draft, place, only_new=only_new)


def publish(draft: Path, place: Path, *, only_new: bool = False) -> None:
    """Give a finished draft its name, durably. Raises `FileExistsError` with `only_new`, and `OSError`."""
    if only_new:
        # A rename would replace what is there; a link is refused.
        os.link(draft, place)
    else:
        draft.replace(place)
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # The name is kept in the folder, and would be lost with it.
        os.fsync(folder)
    finally:
        os.close(folder)


def read_bounded(path: Path, most: int) -> bytes:
    """Read at most `most` bytes of a file. A pipe without a writer reads as empty, at once. Raises `OSError`."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        return file.read(most) or b""


def narrow(path: Path) -> int | None:
    """Take the file's rights from everybody but its owner. Returns: the rights that it had, if wider; else None.

    The file is never opened: closing a file that SQLite has open in this process would drop SQLite's locks on it.
    None also where there is no regular file. Raises `OSError` where the change is refused.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    rights = stat.S_IMODE(mode)
    if not stat.S_ISREG(mode) or not rights & 0o077:
        return None
    path.chmod(rights & 0o700)
    return rights
