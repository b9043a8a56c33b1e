"""What a reader may spend on a stranger's file. Configuration with sane defaults; passing one is a LimitError."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cadenza.base.errors import FormatError, LimitError


@dataclass(frozen=True)
class Limits:
    """Upper bounds for one file."""

    file_bytes: int = 64 << 20
    unpacked_bytes: int = 256 << 20
    notes: int = 500_000
    events: int = 1_000_000  # controllers, wheel positions, tempo changes, markers …
    bend_points: int = 250_000
    tracks: int = 512
    bars: int = 20_000
    words: int = 60_000  # of a text
    header_words: int = 10_000
    quarters: int = 200_000  # length; at 120 quarter notes a minute about 28 hours

    def check(self, what: str, found: int, where: str = "") -> None:
        """Raise where ``found`` passes the bound called ``what``.

        Raises:
            LimitError: it does.
        """
        bound = getattr(self, what)
        if found > bound:
            raise LimitError(
                f"at most {bound:,} {what}", f"{found:,}", where=where, hint="Raise the limit if you trust the file."
            )


DEFAULT_LIMITS = Limits()


def read_bytes(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """The file's bytes.

    Raises:
        FormatError: it is missing, a folder, or unreadable.
        LimitError: it is larger than ``limits.file_bytes``.
    """
    try:
        with open(path, "rb") as file:
            limits.check("file_bytes", os.fstat(file.fileno()).st_size, str(path))
            return file.read()
    except FileNotFoundError:
        raise FormatError("a file", "nothing there", where=str(path), hint="Check the path.") from None
    except IsADirectoryError:
        raise FormatError("a file", "a folder", where=str(path)) from None
    except OSError as error:
        raise FormatError("a readable file", error.strerror or str(error), where=str(path)) from None
