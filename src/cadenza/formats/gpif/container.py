"""The document inside a .gpx or .gp: three containers, each distrusted.

- **zip** (Guitar Pro 7 and 8): the document is ``Content/score.gpif``.
- **BCFS** (Guitar Pro 6): a file system of 4,096-byte sectors. A sector that begins with 2 describes a file: its name,
  its size, and the list of the sectors that hold it, ended by 0.
- **BCFZ** (Guitar Pro 6): a BCFS after a compression in bits, most significant first. A 1 begins a copy: four bits
  say how wide the two numbers after it are (their bits least significant first), how far back to begin and how much
  to copy. A 0 begins up to three bytes as they are: two bits (again reversed) say how many.

The container is told by its first bytes, not by the suffix.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

from cadenza.base.errors import FormatError, LimitError
from cadenza.base.limits import Limits

DOCUMENT = "score.gpif"
ZIPPED_DOCUMENT = f"Content/{DOCUMENT}"
CHUNK_BYTES = 1 << 16
MAX_ZIP_ENTRIES = 1_000
SECTOR_BYTES = 4096
MAX_FILES = 1_000
# One copy writes at most 2^15 bytes and takes 35 bits: what claims to unpack to more than that lies.
MAX_RATIO = 8 * (1 << 15) // 35
FILE_ENTRY = 2
NAME_AT, NAME_BYTES, SIZE_AT, SECTORS_AT = 4, 127, 140, 148
MAX_IDLE_STEPS = 64
MAX_SYSTEM_BYTES = 48 << 20  # it is held in memory as a whole
_REVERSED = [int(f"{byte:08b}"[::-1], 2) for byte in range(256)]


def document(data: bytes, limits: Limits) -> Iterator[bytes]:
    """The bytes of the GPIF document in the file, in pieces.

    Raises:
        FormatError: none of the containers, a broken one, or one without a document.
        LimitError: it unpacks to more than ``limits.unpacked_bytes``.
    """
    head = data[:4]
    if head[:2] == b"PK":
        yield from _unzipped(data, limits)
    elif head == b"BCFZ":
        system = _decompressed(data, limits)
        if system[:4] != b"BCFS":
            raise FormatError("a file system (BCFS) in the compressed file", repr(system[:4]))
        yield from _file(memoryview(system)[4:], limits)
    elif head == b"BCFS":
        yield from _file(memoryview(data)[4:], limits)
    else:
        raise FormatError(
            "a Guitar Pro 6–8 file (zip, BCFZ or BCFS)",
            f"the first bytes {head!r}" if head else "an empty file",
            hint="Guitar Pro 3–5 files have the suffixes .gp3, .gp4 and .gp5.",
        )


def _unzipped(data: bytes, limits: Limits) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if len(names) > MAX_ZIP_ENTRIES:
                raise LimitError(f"at most {MAX_ZIP_ENTRIES} zip entries", str(len(names)))
            if ZIPPED_DOCUMENT not in names:
                raise FormatError(f"{ZIPPED_DOCUMENT} in the zip", "none", hint="Is this a Guitar Pro 7 or 8 file?")
            total = 0
            with archive.open(ZIPPED_DOCUMENT) as file:
                while chunk := file.read(CHUNK_BYTES):
                    total += len(chunk)
                    limits.check("unpacked_bytes", total)
                    yield chunk
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
        UnicodeError,
        struct.error,
    ) as error:
        # zipfile: broken structure, broken stream, cut file, unknown compression, encryption, bad offsets and names
        raise FormatError("an intact .gp (zip)", str(error) or type(error).__name__) from None


def _decompressed(data: bytes, limits: Limits) -> bytearray:
    """What a BCFZ holds."""
    wanted = int.from_bytes(data[4:8], "little")
    limits.check("unpacked_bytes", wanted)
    most = min(MAX_RATIO * len(data), MAX_SYSTEM_BYTES)
    if wanted > most:
        raise LimitError(f"at most {most:,} bytes out of {len(data):,}", f"{wanted:,}", where="byte 4")
    out = bytearray()
    at, end, idle = 64, 8 * len(data), 0  # in bits
    reverse = _REVERSED
    while len(out) < wanted and at < end:
        before = len(out)
        byte = at >> 3
        # No step takes more than 35 bits, so eight bytes hold it wherever it begins.
        window = int.from_bytes(data[byte : byte + 8].ljust(8, b"\0"), "big")
        left = 63 - (at & 7)  # bits after the first
        if window >> left & 1:
            width = window >> (left - 4) & 15
            mask = (1 << width) - 1
            back = window >> (left - 4 - width) & mask
            size = window >> (left - 4 - 2 * width) & mask
            back = (reverse[back & 255] << 8 | reverse[back >> 8]) >> (16 - width)
            size = (reverse[size & 255] << 8 | reverse[size >> 8]) >> (16 - width)
            start = before - back
            if start < 0:
                raise FormatError("a copy of what was unpacked before", f"{back:,} back", where=f"byte {byte}")
            out += out[start : start + min(back, size)]
            at += 5 + 2 * width
        else:
            size = reverse[window >> (left - 2) & 3] >> 6
            bits = 8 * size
            out += (window >> (left - 2 - bits) & ((1 << bits) - 1)).to_bytes(size, "big")
            at += 3 + bits
        idle = idle + 1 if len(out) == before else 0
        if idle > MAX_IDLE_STEPS:
            raise FormatError("compressed bytes", "steps that write nothing", where=f"byte {byte}")
    if len(out) + SECTOR_BYTES < wanted:
        raise FormatError(f"{wanted:,} bytes, as the header says", f"{len(out):,}: the file is cut")
    return out


def _file(system: memoryview, limits: Limits) -> Iterator[bytes]:
    """The document in a file system (after its four magic bytes)."""

    def number(at: int) -> int:
        return int.from_bytes(system[at : at + 4], "little")

    taken: set[int] = set()
    n_files = 0
    for at in range(SECTOR_BYTES, len(system), SECTOR_BYTES):
        if at // SECTOR_BYTES in taken or number(at) != FILE_ENTRY or at + SECTORS_AT > len(system):
            continue
        n_files += 1
        if n_files > MAX_FILES:
            raise LimitError(f"at most {MAX_FILES:,} files in a .gpx", "more")
        name = bytes(system[at + NAME_AT : at + NAME_AT + NAME_BYTES]).split(b"\0")[0]
        sectors = []
        for entry in range(at + SECTORS_AT, at + SECTOR_BYTES, 4):
            sector = number(entry)
            if sector == 0:
                break
            if sector in taken or sector * SECTOR_BYTES >= len(system):
                where = f"file {name[:40]!r}"
                raise FormatError("sectors of the file, each used once", f"sector {sector}", where=where)
            taken.add(sector)
            sectors.append(sector)
        if name.rpartition(b"/")[2] == DOCUMENT.encode():
            size = number(at + SIZE_AT)
            limits.check("unpacked_bytes", size)
            if size > len(sectors) * SECTOR_BYTES:
                raise FormatError(f"{size:,} bytes of {DOCUMENT}", f"{len(sectors):,} sectors of {SECTOR_BYTES:,}")
            for sector in sectors:
                taking = min(size, SECTOR_BYTES)
                yield bytes(system[sector * SECTOR_BYTES : sector * SECTOR_BYTES + taking])
                size -= taking
            return
    raise FormatError(f"{DOCUMENT} in the file", "none")
