"""Atomic writes: a reader sees the old file or the whole new one, never a part."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cadenza.base.errors import FormatError

TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}\.part")


def write_atomically(path: Path | str, data: bytes) -> None:
    """Write ``data`` to a temporary file in the same folder, fsync, rename over ``path``, fsync the folder.

    Raises:
        FormatError: the folder is missing or not writable, or the disk is full; ``path`` is then unchanged.
    """
    with writing_atomically(path) as file:
        file.write(data)


@contextmanager
def writing_atomically(path: Path | str) -> Iterator[BinaryIO]:
    """A file to write to that takes ``path``'s place when the block ends well, as :func:`write_atomically`.

    When the block raises, ``path`` is unchanged.

    Raises:
        FormatError: the folder is missing or not writable, or the disk is full.
    """
    path = Path(path)
    temporary, hint = None, "Nothing was changed there."
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        temporary, hint = None, "The new file is there, but may not survive a power failure."
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if not path.parent.exists():
            raise FormatError(
                "a folder to write in", f"no folder {path.parent}", where=str(path), hint="Make it first."
            ) from error
        raise FormatError(
            "a writable place with room", error.strerror or str(error), where=str(path), hint=hint
        ) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


@contextmanager
def locked(path: Path | str, hint: str) -> Iterator[None]:
    """Hold the lock file ``path`` for the block. The lock is the system's: it ends with the process, even a killed one.

    Where the system has no such locks (Windows, some network folders) nothing is locked.

    Raises:
        FormatError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        file = open(path, "ab")  # noqa: SIM115 (closed below, after the block)
    except OSError as error:
        raise FormatError("a folder to write to", error.strerror or str(error), where=str(path)) from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FormatError("a folder that is free", "one that is locked", where=str(path), hint=hint) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        file.close()


@contextmanager
def scratch(folder: Path) -> Iterator[None]:
    """The folder ``folder`` is nothing but the block's: what a killed one left is removed before, all of it after."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_unfinished(folder: Path) -> None:
    """Remove the temporary files that killed writers left in ``folder``; nobody may be writing there."""
    for path in folder.glob(".*.*"):
        if TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def make_folder_for(path: Path | str) -> None:
    """Make the folder that ``path`` is to lie in, with all above it, where it is missing.

    Raises:
        FormatError: a file is in the way, or the place is not writable.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError("a folder to write to", error.strerror or str(error), where=str(path)) from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
