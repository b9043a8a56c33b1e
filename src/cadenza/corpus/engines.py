"""Who does the work of a corpus build: this process, several on this machine, or a Ray cluster.

An engine runs one function over many arguments and hands the results out as they come. The functions leave finished
files behind and say nothing else, so an engine needs no more than to tell when each is done, and the first error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cadenza.base.errors import CadenzaError, FormatError


class Engine(Protocol):
    """Runs one function over many arguments, anywhere; results in the order of completion."""

    def map(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """The results of ``function(*one)`` for each of ``arguments``."""
        ...


@dataclass(frozen=True)
class Processes:
    """``workers`` processes on this machine; with one, no process is started."""

    workers: int = 1

    def map(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """See :class:`Engine`. An error in one waits for nothing: what others have finished is on disk."""
        if self.workers <= 1 or len(arguments) <= 1:
            for one in arguments:
                yield function(*one)
            return
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor, as_completed
        from concurrent.futures.process import BrokenProcessPool

        # A fork of a process with threads (progress bars, BLAS) may hang.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(self.workers, context, initializer=_end_with_parent) as pool:
            waiting = [pool.submit(function, *one) for one in arguments]
            try:
                for done in as_completed(waiting):
                    yield done.result()
            except BrokenProcessPool as error:
                raise FormatError(
                    "workers that run to their end",
                    "one that was killed (out of memory?)",
                    hint="Start the same command again: it goes on where it was. Fewer workers need less memory.",
                ) from error
            finally:
                for future in waiting:
                    future.cancel()


@dataclass(frozen=True)
class OnRay:
    """The same on a Ray cluster (extra ``[cluster]``); the output folder must be one that all machines see."""

    address: str | None = None
    workers: int | None = None

    def map(self, function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """See :class:`Engine`."""
        try:
            import ray
        except ImportError:
            from cadenza.base.errors import MissingExtraError

            raise MissingExtraError("Ray", "no such package", hint="pip install 'cadenza[cluster]'") from None
        if not ray.is_initialized():
            here: dict[str, Any] = {} if self.address else {"num_cpus": self.workers, "include_dashboard": False}
            ray.init(address=self.address, log_to_driver=False, **here)
        remote = ray.remote(function)
        waiting = [remote.remote(*one) for one in arguments]
        while waiting:
            done, waiting = ray.wait(waiting)
            try:
                yield ray.get(done[0])
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, CadenzaError) else error from error


def _end_with_parent() -> None:
    """In a worker: end when the process that started it is gone, however it went.

    The pool's own pipes stay open in every worker, so without this they would wait for work for ever.
    """
    import multiprocessing
    import threading

    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)  # what is half written is a temporary file, cleared by the next build

    threading.Thread(target=watch, daemon=True).start()
