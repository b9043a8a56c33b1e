"""Folders of music with known licences → pieces.

Each source is one function from its folder to recipes: a recipe knows where a piece is, whose it is and which work
it belongs to, and reads it when asked. What cannot be read is reported with its reason, never dropped silently.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from cadenza.base.errors import CadenzaError, FormatError
from cadenza.corpus.layouts import LAYOUTS, plain_folder
from cadenza.corpus.recipe import Recipe, slug
from cadenza.corpus.store import Piece
from cadenza.formats import jams, midi, musicxml
from cadenza.score.model import NOTE_DTYPE, Key, Metre, Score, Tempo, Track

# Keys of the Roland kit with which Groove was recorded that General MIDI uses for something else → the GM key.
GROOVE_TO_GENERAL_MIDI = {22: 42, 26: 46, 58: 43}
VOICE_END_TOLERANCE_QUARTERS = 1


def recipes(root: Path) -> Iterator[Recipe]:
    """All recipes of all sources that exist below ``root``, in a fixed order."""
    for name, source in SOURCES.items():
        if (root / name).is_dir():
            yield from source(root / name)


def pieces(root: Path, rejects: list[tuple[str, str]] | None = None) -> Iterator[Piece]:
    """All readable pieces without exact duplicates; (path, reason) of the others goes to ``rejects``."""
    seen: dict[str, str] = {}
    for recipe in recipes(root):
        try:
            piece = recipe.piece()
        except CadenzaError as error:
            if rejects is not None:
                rejects.append((recipe.path, str(error)))
            continue
        digest = content_hash(piece.score)
        if digest in seen:
            if rejects is not None:
                rejects.append((recipe.path, f"same notes as {seen[digest]}"))
            continue
        seen[digest] = recipe.path
        yield piece


def scan(roots: Sequence[Path]) -> list[Recipe]:
    """The recipes of all pieces below ``roots``, sorted by source and path.

    A root is a collection known by its name or its layout, a folder of such, or a plain folder of files.

    Raises:
        FormatError: a root is no folder.
    """
    found: dict[tuple[str, str], Recipe] = {}
    for root in roots:
        if not root.is_dir():
            raise FormatError("a folder", "a file" if root.exists() else "nothing there", where=str(root))
        for recipe in _below_root(root.resolve()):
            found.setdefault((recipe.source, recipe.path), recipe)
    return [found[key] for key in sorted(found)]


def _below_root(root: Path) -> Iterator[Recipe]:
    known = _collection(root)
    if known is not None:
        yield from known(root)
        return
    inner = {path: _collection(path) for path in sorted(root.iterdir()) if path.is_dir()}
    if not any(inner.values()):
        yield from plain_folder(root)
        return
    for path, reader in inner.items():
        yield from reader(path) if reader is not None else plain_folder(path)


def _collection(folder: Path) -> Callable[[Path], Iterator[Recipe]] | None:
    if folder.name in SOURCES:
        return SOURCES[folder.name]
    return next((layout.recipes for layout in LAYOUTS if layout.matches(folder)), None)


def content_hash(score: Score) -> str:
    """Hash of what sounds: onsets, durations and pitches of all tracks."""
    digest = hashlib.sha256()
    for track in score.tracks:
        fields = np.stack([track.notes[name].astype(np.int64) for name in ("onset_ticks", "duration_ticks", "pitch")])
        digest.update(bytes([track.is_drums]) + fields.tobytes())
    return digest.hexdigest()


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────


def _lieder(folder: Path) -> Iterator[Recipe]:
    for path in sorted(folder.rglob("*.mxl")):
        yield Recipe(
            "openscore_lieder",
            _below(path, folder),
            "CC0-1.0",
            "OpenScore Lieder Corpus",
            path,
            partial(musicxml.read, path),
        )


def _quartets(folder: Path) -> Iterator[Recipe]:
    for path in sorted(folder.rglob("*.mxl")):
        yield Recipe(
            "openscore_quartets",
            _below(path, folder),
            "CC0-1.0",
            "OpenScore String Quartets",
            path,
            partial(musicxml.read, path),
        )


def _hymns(folder: Path) -> Iterator[Recipe]:
    for path in sorted(folder.glob("*.abc")):
        tunes = re.split(r"(?m)^(?=X:)", path.read_text("utf-8", errors="replace"))[1:]
        for number, tune in enumerate(tunes, 1):
            match = re.search(r"(?m)^T:\s*(.*)", tune)
            title = match[1].strip() if match else str(number)
            yield Recipe(
                "openhymnal",
                f"{_below(path, folder)}#{number}",
                "public domain",
                "Open Hymnal Project",
                path,
                partial(_abc, tune, title),
                work_id=f"openhymnal/{slug(title)}",
            )


def _mutopia(folder: Path) -> Iterator[Recipe]:
    for line in (folder / "index.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        for name in entry["files"]:
            yield Recipe(
                "mutopia",
                f"mutopia/{name}",
                entry["licence"],
                f"Mutopia Project, {entry['maintainer']}: {entry['composer']}, {entry['title']}",
                folder / name,
                partial(_named, folder / name, entry["title"], entry["composer"]),
                work_id=f"mutopia/{slug(entry['composer'])}/{slug(entry['title'])}",
                style=entry["instrument"],
            )


def _groove(folder: Path) -> Iterator[Recipe]:
    with (folder / "info.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield Recipe(
                "groove",
                f"groove/{row['midi_filename']}",
                "CC-BY-4.0",
                "Groove MIDI Dataset (Gillick et al. 2019)",
                folder / row["midi_filename"],
                partial(_drums, folder / row["midi_filename"], row),
                work_id=f"groove/{row['id']}",
                split=row["split"],
                style=f"{row['style']} {row['beat_type']}",
            )


def _guitarset(folder: Path) -> Iterator[Recipe]:
    for path in sorted(folder.glob("*.jams")):
        # 00_BN1-129-Eb_comp: player, style and progression, tempo, key, part
        match = re.match(r"\d+_([A-Za-z]+\d*)-", path.name)
        yield Recipe(
            "guitarset",
            _below(path, folder),
            "MIT",
            "GuitarSet (Xi et al. 2018)",
            path,
            partial(jams.read, path),
            work_id=f"guitarset/{match[1] if match else path.stem}",
            style=path.stem.rpartition("_")[2],
        )


SOURCES: dict[str, Callable[[Path], Iterator[Recipe]]] = {
    "openscore_lieder": _lieder,
    "openscore_quartets": _quartets,
    "openhymnal": _hymns,
    "mutopia": _mutopia,
    "groove": _groove,
    "guitarset": _guitarset,
}


def _below(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder.parent))


# ── readers that other rooms will replace ────────────────────────────────────────────────────────────────


def _named(path: Path, title: str, composer: str) -> Score:
    return replace(midi.read(path), title=title, composer=composer)


def _drums(path: Path, row: dict[str, str]) -> Score:
    """A Groove performance with General MIDI keys and the metre that the collection states."""
    score = midi.read(path)
    top, bottom = (int(n) for n in row["time_signature"].split("-"))

    def general(track: Track) -> Track:
        notes = track.notes.copy()
        for old, new in GROOVE_TO_GENERAL_MIDI.items():
            notes["pitch"][track.notes["pitch"] == old] = new
        return replace(track, notes=notes, is_drums=True, program=0, name="Drums")

    tracks = [general(track) for track in score.tracks if len(track)]
    return replace(score, tracks=tuple(tracks), metres=(Metre(0, top, bottom),), tempos=(Tempo(0, float(row["bpm"])),))


def _abc(tune: str, title: str) -> Score:
    """One tune through symusic. Decorations go first: its converter doubles notes under a fermata in one voice only.

    Raises:
        FormatError: no notes, or voices that drift apart (the converter lost its place).
    """
    import symusic

    with _quiet():
        try:
            found = symusic.Score.from_abc(re.sub(r"![^!\n]{1,30}!", "", tune))
        except Exception as error:  # a third-party parser; what it raises is not documented
            raise FormatError("an ABC tune", str(error)[:200]) from error
    score = _from_symusic(found)
    ends = [track.end_ticks for track in score.tracks if len(track)]
    if not ends:
        raise FormatError("an ABC tune with notes", "none")
    if max(ends) - min(ends) > VOICE_END_TOLERANCE_QUARTERS * score.ticks_per_quarter:
        raise FormatError("voices that end together", f"ends {sorted(ends)} in ticks", where=title)
    return replace(score, title=title)


def _from_symusic(found) -> Score:  # type: ignore[no-untyped-def]
    tracks = []
    for track in found.tracks:
        columns = track.notes.numpy()
        notes = np.zeros(len(columns["time"]), NOTE_DTYPE)
        notes["onset_ticks"], notes["duration_ticks"] = columns["time"], columns["duration"]
        notes["pitch"], notes["velocity"] = columns["pitch"], np.clip(columns["velocity"], 1, 127)
        notes["fret"], notes["spelling"] = -1, -128
        if len(notes):
            tracks.append(Track(name=track.name, program=track.program, is_drums=track.is_drum, notes=notes))
    keys = (Key(k.time, k.key, "minor" if k.tonality else "major") for k in found.key_signatures if -7 <= k.key <= 7)
    return Score(
        tracks=tuple(tracks),
        ticks_per_quarter=found.tpq,
        tempos=tuple(Tempo(t.time, 60e6 / t.mspq) for t in found.tempos),
        metres=tuple(Metre(t.time, t.numerator, t.denominator) for t in found.time_signatures),
        keys=tuple(keys),
    )


class _quiet:
    """The native converter writes warnings to the process's own stdout and stderr; send them to nowhere."""

    def __enter__(self) -> None:
        self.saved = [(number, os.dup(number)) for number in (1, 2)]
        self.sink = tempfile.TemporaryFile()
        for number, _ in self.saved:
            os.dup2(self.sink.fileno(), number)

    def __exit__(self, *_: object) -> None:
        for number, copy in self.saved:
            os.dup2(copy, number)
            os.close(copy)
        self.sink.close()
