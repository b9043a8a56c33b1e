"""Many small jobs over processes, where a job that hangs or kills its process costs that job only.

:func:`each` hands jobs to workers one at a time and yields what became of them as they end. A worker that passes the
time limit or dies (of a fault in a native library, or for want of memory) is replaced, and its job is reported as lost.
Workers are fresh interpreters, so the caller's threads and open files are none of theirs.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

GRACE_SECONDS = 2.0  # between being asked to end and being made to


@dataclass(frozen=True, slots=True)
class Ended:
    """One job's end.

    Args:
        index: the job's place in the list.
        result: what the function returned; None where the job was lost.
        lost: why there is no result ("no end within 60 s"); empty where there is one.
        seconds: how long it took.
    """

    index: int
    result: Any
    lost: str
    seconds: float


class _Worker:
    """One process, the pipe to it, and the job that it is at."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, function), daemon=True)
        self.process.start()
        theirs.close()
        self.index, self.since = -1, 0.0

    def begin(self, index: int, job: Any) -> None:
        self.index, self.since = index, time.monotonic()
        with suppress(BrokenPipeError):  # it died in between: seen when its answer is waited for
            self.pipe.send(job)

    def end(self) -> None:
        """Ask the process to end (its half-written files go), then make it."""
        self.pipe.close()
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(GRACE_SECONDS)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()


def each(function: Callable[[Any], Any], jobs: Sequence[Any], n_workers: int, limit_seconds: float) -> Iterator[Ended]:
    """``function(job)`` for every job, over ``n_workers`` processes, in the order in which they end.

    Args:
        function: of a module's top level, as are the types of its jobs and results: they travel between processes.
        limit_seconds: for one job; the first of a worker includes the worker's start.

    When the caller stops early (or is interrupted), all workers are ended.
    """
    left = list(range(len(jobs)))[::-1]
    workers: list[_Worker] = []
    try:
        while left or any(worker.index >= 0 for worker in workers):
            while left and len(workers) < n_workers:
                workers.append(_Worker(function))
                workers[-1].begin(left[-1], jobs[left.pop()])
            for worker in workers:
                if left and worker.index < 0:
                    worker.begin(left[-1], jobs[left.pop()])
            busy = [worker for worker in workers if worker.index >= 0]
            due = min(worker.since for worker in busy) + limit_seconds - time.monotonic()
            answered = set(wait([worker.pipe for worker in busy], max(0.0, due)))
            for worker in busy:
                ended = _ended(worker, worker.pipe in answered, limit_seconds)
                if ended is None:
                    continue
                if ended.lost:
                    worker.end()
                    workers.remove(worker)
                worker.index = -1
                yield ended
    finally:
        for worker in workers:
            worker.end()


def _ended(worker: _Worker, answered: bool, limit_seconds: float) -> Ended | None:
    seconds = time.monotonic() - worker.since
    if answered:
        try:
            return Ended(worker.index, worker.pipe.recv(), "", seconds)
        except (EOFError, OSError):
            worker.process.join(GRACE_SECONDS)
            code = worker.process.exitcode
            how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit status {code}"
            return Ended(worker.index, None, f"a dead process ({how})", seconds)
    if seconds >= limit_seconds:
        return Ended(worker.index, None, f"none after {limit_seconds:g} s", seconds)
    return None


def _serve(pipe: Connection, function: Callable[[Any], Any]) -> None:
    """In the worker: answer jobs until the pipe closes. An interrupt is the caller's matter."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # an exception, so that temporary files are removed
    with suppress(EOFError, BrokenPipeError):
        while True:
            pipe.send(function(pipe.recv()))
