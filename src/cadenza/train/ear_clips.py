"""Clips for the ear's training: rendered by worker processes without end, kept in a pool on the device."""

from __future__ import annotations

import multiprocessing
import traceback
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from threading import Event
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cadenza.corpus.synthesis import CLIP_SECONDS, SAMPLE_RATE, Clip, Synthesizer
from cadenza.train.ear_targets import BEND_COLUMNS, DRUM_COLUMNS, NOTE_COLUMNS

N_SAMPLES = int(CLIP_SECONDS * SAMPLE_RATE)
MAX_NOTES, MAX_BENDS, MAX_DRUMS = 512, 3200, 256
SLOTS = 96  # of shared memory: 41 MB, which the smallest containers have
_IN_FLIGHT = 64
_TABLES = ("samples", "notes", "bends", "drums")

MOST_FAILURES = 20  # clips in a row that a worker may fail to render


@dataclass(frozen=True)
class Packed:
    """A clip as arrays of one size: samples, notes, bends, drums (columns as in :mod:`cadenza.train.ear_targets`)."""

    samples: NDArray[np.int16]
    notes: NDArray[np.float32]
    bends: NDArray[np.int16]
    drums: NDArray[np.float32]

    @classmethod
    def views(cls, memory: Any, slot: int) -> Packed:
        """One slot of shared memory."""
        out, at = [], slot * SLOT_BYTES
        for shape, dtype in _LAYOUT:
            out.append(np.ndarray(shape, dtype, buffer=memory, offset=at))
            at += int(np.prod(shape)) * np.dtype(dtype).itemsize
        return cls(*out)

    def fill(self, clip: Clip) -> None:
        """Write a clip; what passes the columns' lengths is left out."""
        self.samples[:] = 0
        self.samples[: len(clip.samples)] = clip.samples[:N_SAMPLES]
        for table, names, rows, unused in (
            (self.notes, ("onset_seconds", "end_seconds", "pitch", "velocity", "family"), clip.notes, 2),
            (self.bends, ("frame", "pitch", "cents"), clip.bends, 1),
            (self.drums, ("onset_seconds", "kind", "velocity"), clip.drums, 1),
        ):
            table[:] = 0
            table[:, unused] = -1
            n = min(len(rows), len(table))
            for column, name in enumerate(names):
                table[:n, column] = rows[name][:n]
            if table is self.notes:
                table[:n, 5] = clip.detune_cents


_LAYOUT: tuple[tuple[tuple[int, ...], str], ...] = (
    ((N_SAMPLES,), "<i2"), ((MAX_NOTES, NOTE_COLUMNS), "<f4"), ((MAX_BENDS, BEND_COLUMNS), "<i2"),
    ((MAX_DRUMS, DRUM_COLUMNS), "<f4"),
)  # fmt: skip
SLOT_BYTES = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in _LAYOUT)


class Renderers:
    """Processes that render clips into shared memory; the synthesizer is forked, so its fonts are loaded once."""

    def __init__(
        self, synthesizer: Synthesizer, n_workers: int, cycle: int = 0, most: int = 0, slots: int = SLOTS
    ) -> None:
        context = multiprocessing.get_context("fork")
        self.memory = SharedMemory(create=True, size=slots * SLOT_BYTES)
        self.free: Any = context.Queue()
        self.ready: Any = context.Queue()
        for slot in range(slots):
            self.free.put(slot)
        self._ended = context.Value("i", 0)
        self.workers = [
            context.Process(target=self._render, args=(synthesizer, first, n_workers, cycle, most), daemon=True)
            for first in range(n_workers)
        ]
        for worker in self.workers:
            worker.start()

    def _render(self, synthesizer: Synthesizer, first: int, step: int, cycle: int, most: int) -> None:
        torch.set_num_threads(1)
        number, failed = first, 0
        while not most or number < most:
            try:
                clip = synthesizer.clip(number % cycle if cycle else number)
            except Exception:  # one clip in thousands is no reason to lose hours of training; it is said, and left out
                traceback.print_exc()
                number, failed = number + step, failed + 1
                if failed >= MOST_FAILURES:  # but a fault of all clips is
                    raise
                continue
            failed = 0
            slot = self.free.get()
            Packed.views(self.memory.buf, slot).fill(clip)
            self.ready.put(slot)
            number += step
        with self._ended:
            self._ended.value += 1
        Event().wait()  # a process that ends would count as one that died

    @property
    def has_ended(self) -> bool:
        """Whether every clip that was to be rendered has been, and has been taken; some may have failed."""
        return int(self._ended.value) == len(self.workers) and bool(self.ready.empty())

    def take(self, wait_seconds: float) -> int | None:
        """A slot with a new clip, or None; give it back with :meth:`give`."""
        import queue

        try:
            return self.ready.get(timeout=wait_seconds) if wait_seconds else self.ready.get_nowait()
        except queue.Empty:
            if not all(worker.is_alive() for worker in self.workers):
                raise RuntimeError("a rendering process has died") from None
            return None

    def give(self, slot: int) -> None:
        """The slot may be written again."""
        self.free.put(slot)

    def close(self) -> None:
        """End the processes and free the memory."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.join(timeout=5)
        self.free.cancel_join_thread()
        self.ready.cancel_join_thread()
        self.memory.close()
        self.memory.unlink()


class Pool:
    """The newest clips, on the device."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.size, self.device = size, device
        self.samples = torch.zeros(size, N_SAMPLES, dtype=torch.int16, device=device)
        self.notes = torch.zeros(size, MAX_NOTES, NOTE_COLUMNS, device=device)
        self.bends = torch.zeros(size, MAX_BENDS, BEND_COLUMNS, dtype=torch.int16, device=device)
        self.drums = torch.zeros(size, MAX_DRUMS, DRUM_COLUMNS, device=device)
        self.n_seen = 0
        # On an accelerator clips arrive beside the learning: through pinned memory, in a stream of their own.
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        if self.stream is not None:
            self.waiting = {
                name: torch.zeros(
                    _IN_FLIGHT, *getattr(self, name).shape[1:], dtype=getattr(self, name).dtype
                ).pin_memory()
                for name in _TABLES
            }

    def __len__(self) -> int:
        return min(self.n_seen, self.size)

    def add(self, clip: Packed) -> None:
        """Keep a clip in the oldest's place."""
        at, slot = self.n_seen % self.size, self.n_seen % _IN_FLIGHT
        if self.stream is None:
            for name in _TABLES:
                getattr(self, name)[at].copy_(torch.from_numpy(getattr(clip, name)))
        else:
            if slot == 0:
                self.stream.synchronize()  # what was sent from here has arrived
            if self.n_seen >= self.size:
                self.stream.wait_stream(torch.cuda.current_stream())  # the place may be being read
            for name in _TABLES:
                self.waiting[name][slot].copy_(torch.from_numpy(getattr(clip, name)))
                with torch.cuda.stream(self.stream):
                    getattr(self, name)[at].copy_(self.waiting[name][slot], non_blocking=True)
        self.n_seen += 1

    def fill(self, renderers: Renderers, wait_seconds: float = 0.0, most: int = 64) -> None:
        """Take what has been rendered."""
        for _ in range(most):
            slot = renderers.take(wait_seconds)
            if slot is None:
                break
            self.add(Packed.views(renderers.memory.buf, slot))
            renderers.give(slot)
        if self.stream is not None:
            torch.cuda.current_stream().wait_stream(self.stream)
