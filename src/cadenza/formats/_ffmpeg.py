"""Sound that libsndfile does not read (AAC in .m4a and .mp4, WMA, WebM), by the user's own ffmpeg program.

Nothing of FFmpeg comes with cadenza or is installed by it: every package with wheels that decodes AAC carries libraries
under the GPL or cannot read what phones record. ``ffmpeg`` and ``ffprobe`` run as processes of their own, may open
nothing but the one file, and give samples through a pipe, so memory stays flat.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError, MissingExtraError

SUFFIXES = ("m4a", "m4b", "mp4", "aac", "wma", "webm")
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,aac,asf,matroska,webm"
_OPEN = ("-v", "error", "-protocol_whitelist", "file,pipe", "-format_whitelist", _DEMUXERS)
PROBE_SECONDS = 60.0
PREROLL_SECONDS = 0.1  # decoded before a stretch and dropped: a frame of AAC needs the one before it
WHOLE = 0.98  # of the length that the header says: with less the file broke off

Floats = NDArray[np.float32]


def wanted(path: Path) -> bool:
    """Whether this is a file for ffmpeg: by its suffix, or by its first bytes."""
    if path.suffix.lower().lstrip(".") in SUFFIXES:
        return True
    with path.open("rb") as file:
        return file.read(12)[4:8] == b"ftyp"


def probe(path: Path) -> tuple[int, int, int]:
    """(sample rate, channels, samples a channel) of the first sound stream.

    Raises:
        FormatError: there is none, or it cannot be read.
        MissingExtraError: ffprobe is not there.
    """
    asked = "stream=sample_rate,channels,duration:format=duration"
    command = [_program("ffprobe", path), *_OPEN, "-select_streams", "a:0", "-show_entries", asked, "-of", "json"]
    done = subprocess.run(
        [*command, _url(path)],
        capture_output=True, timeout=PROBE_SECONDS, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        found = json.loads(done.stdout or b"{}")
        stream = found["streams"][0]
        seconds = float(stream.get("duration") or found["format"]["duration"])
        rate, channels = int(stream["sample_rate"]), int(stream["channels"])
    except (KeyError, IndexError, ValueError, TypeError):
        said = _last_line(done.stderr) or "no stream of sound"
        raise FormatError("a file with sound that ffmpeg decodes", said, where=str(path)) from None
    if not math.isfinite(seconds):
        raise FormatError("sound of a known length", "none in its header", where=str(path))
    return rate, channels, max(0, round(seconds * rate))


def blocks(
    path: Path, sample_rate: int, n_channels: int, n_samples: int, block_samples: int, start_seconds: float,
    seconds: float,
) -> Iterator[Floats]:  # fmt: skip
    """Samples as shape (n, channels), at most ``block_samples`` at a time.

    Raises:
        FormatError: the file breaks off.
    """
    first = round(start_seconds * sample_rate)
    drop = min(first, round(PREROLL_SECONDS * sample_rate))
    span = () if math.isinf(seconds) else ("-t", f"{seconds + drop / sample_rate:.6f}")
    command = [
        _program("ffmpeg", path), "-nostdin", *_OPEN, "-ss", f"{(first - drop) / sample_rate:.6f}", "-i", _url(path),
        *span, "-map", "0:a:0", "-ac", str(n_channels), "-ar", str(sample_rate), "-f", "f32le", "pipe:1",
    ]  # fmt: skip
    n_bytes, done = 4 * n_channels * block_samples, 0
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, stdin=subprocess.DEVNULL)
        assert process.stdout is not None
        try:
            while data := process.stdout.read(n_bytes):
                found = np.frombuffer(data[: len(data) - len(data) % (4 * n_channels)], "<f4")
                block = found.reshape(-1, n_channels)[drop:]
                drop = max(0, drop - len(found) // n_channels)
                done += len(block)
                if len(block):
                    yield block
            code = process.wait()
        finally:
            process.stdout.close()
            process.kill()
            process.wait()
        complaints.seek(0)
        said = _last_line(complaints.read(100_000))
    expected = min(n_samples - first, seconds * sample_rate)
    if code or done < WHOLE * expected - sample_rate / 10:
        what = f"{done / sample_rate:.1f} of {expected / sample_rate:.1f} s"
        raise FormatError("sound to its end", f"{what}: {said}" if said else what, where=str(path))


def _program(name: str, path: Path) -> str:
    found = shutil.which(name)
    if found is None:
        raise MissingExtraError(
            f"the program {name}, which reads {path.suffix or path.name}", "no such program",
            hint="Install ffmpeg with your system's packages (apt install ffmpeg, brew install ffmpeg, "
            "winget install ffmpeg), or convert the file to .wav or .flac.",
        )  # fmt: skip
    return found


def _url(path: Path) -> str:
    """The path as ffmpeg's own kind of address, so that no name is taken for an option or another protocol."""
    return f"file:{path.resolve()}"


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip()[:200] if lines else ""
