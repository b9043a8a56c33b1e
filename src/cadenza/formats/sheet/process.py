"""Runs the engravers in a process of their own, within limits of time and memory.

They are native code: what they do with a score must neither hang nor take down whoever asked. They get only MusicXML
that cadenza itself wrote, and its SVG; never a stranger's file and never a model's text.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cadenza.base.errors import FormatError, LimitError, MissingExtraError

INSTALL = "pip install 'cadenza[sheet]'"
_KILLED = {-int(getattr(signal, name)) for name in ("SIGKILL", "SIGXCPU") if hasattr(signal, name)}


@dataclass(frozen=True)
class ProcessLimits:
    """What one engraving may spend.

    Args:
        seconds: by the clock, and of CPU time, for each of the two steps (engraving, painting).
        memory_bytes: of address space; the libraries themselves map some hundred megabytes.
        pages: of the sheet.
    """

    seconds: int = 120
    memory_bytes: int = 4 << 30
    pages: int = 400


DEFAULT_PROCESS_LIMITS = ProcessLimits()


def require(*modules: str) -> None:
    """Raise where an engraver is not installed.

    Raises:
        MissingExtraError: with the command that installs it.
    """
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingExtraError(
            f"{' and '.join(modules)} for engraving", f"no {' and no '.join(missing)}", hint=f"Install it: {INSTALL}"
        )


def run(job: dict[str, Any], limits: ProcessLimits, command: Sequence[str] | None = None) -> dict[str, Any]:
    """The result of a job of :mod:`._worker`.

    Args:
        command: instead of the worker (for tests).

    Raises:
        LimitError: it took too long or too much memory.
        FormatError: it ended badly.
    """
    cpu = str(limits.seconds)
    command = command or [sys.executable, "-m", "cadenza.formats.sheet._worker", str(limits.memory_bytes), cpu]
    # One thread each: the painter otherwise maps a stack and an arena for every core.
    environment = {**os.environ, "RAYON_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    what = f"the step {job['verb']!r} of engraving"
    try:
        done = subprocess.run(
            command,
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=limits.seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LimitError(f"{what} within {limits.seconds} s", "more", hint="Engrave fewer bars or tracks.") from None
    except OSError as error:
        raise FormatError(f"{what} to start", error.strerror or str(error)) from None
    if done.returncode in _KILLED:
        raise LimitError(f"{what} within {limits.seconds} s", "more", hint="Engrave fewer bars or tracks.")
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or [f"status {done.returncode}"]
        if "MemoryError" in said[0] or "bad_alloc" in said[0] or "memory allocation" in said[0]:
            raise LimitError(
                f"{what} within {limits.memory_bytes >> 20} MB", "more", hint="Engrave fewer bars or tracks."
            )
        raise FormatError(f"{what} to succeed", said[0][:300])
    result = json.loads(done.stdout.rpartition(b"\n")[2])
    if "error" in result:
        raise FormatError(f"{what} to succeed", result["error"])
    if "too_many_pages" in result:
        raise LimitError(f"at most {limits.pages} pages", str(result["too_many_pages"]), hint="Engrave fewer bars.")
    return result
