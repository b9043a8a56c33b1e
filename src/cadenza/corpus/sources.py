"""Folders of music with known licences → pieces.

Each source is one function from its folder to recipes: a recipe knows where a piece is, whose it is and which work
it belongs to, and reads it when asked. What cannot be read is reported with its reason, never dropped silently.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from cadenza.base.errors import CadenzaError, FormatError
from cadenza.corpus.layouts import LAYOUTS, Listen, plain_folder
from cadenza.corpus.recipe import Recipe, slug
from cadenza.corpus.store import Piece
from cadenza.formats import jams, midi, musicxml
from cadenza.notation.abc import read_tune
from cadenza.notation.abc.text import TuneText, decode_bytes, split_tunes
from cadenza.score.model import Metre, Score, Tempo, Track

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


def scan(roots: Sequence[Path], listen: Listen | None = None) -> list[Recipe]:
    """The recipes of all pieces below ``roots``, sorted by source and path.

    A root is a collection known by its name or its layout, a folder of such, or a plain folder of files; ``listen``
    says the notes of recordings in the latter.

    Raises:
        FormatError: a root is no folder.
    """
    found: dict[tuple[str, str], Recipe] = {}
    for root in roots:
        if not root.is_dir():
            raise FormatError("a folder", "a file" if root.exists() else "nothing there", where=str(root))
        for recipe in _below_root(root.resolve(), listen):
            found.setdefault((recipe.source, recipe.path), recipe)
    return [found[key] for key in sorted(found)]


def _below_root(root: Path, listen: Listen | None) -> Iterator[Recipe]:
    known = _collection(root)
    if known is not None:
        yield from known(root)
        return
    inner = {path: _collection(path) for path in sorted(root.iterdir()) if path.is_dir()}
    if not any(inner.values()):
        yield from plain_folder(root, listen=listen)
        return
    for path, reader in inner.items():
        yield from reader(path) if reader is not None else plain_folder(path, listen=listen)


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


def _openscore(source: str, attribution: str, folder: Path) -> Iterator[Recipe]:
    for path in sorted(folder.rglob("*.mxl")):
        yield Recipe(source, _below(path, folder), "CC0-1.0", attribution, path, partial(musicxml.read, path))


def _hymns(folder: Path) -> Iterator[Recipe]:
    for path in sorted(folder.glob("*.abc")):
        header, tunes = split_tunes(decode_bytes(path.read_bytes()))
        for tune in tunes:
            titles = [line[2:].strip() for line in tune.lines if line.startswith("T:")]
            title = titles[0] if titles else str(tune.number)
            yield Recipe(
                "openhymnal",
                f"{_below(path, folder)}#{tune.number}",
                "public domain",
                "Open Hymnal Project",
                path,
                partial(_tune, tune, header, title),
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
    "openscore_lieder": partial(_openscore, "openscore_lieder", "OpenScore Lieder Corpus"),
    "openscore_quartets": partial(_openscore, "openscore_quartets", "OpenScore String Quartets"),
    "openhymnal": _hymns,
    "mutopia": _mutopia,
    "groove": _groove,
    "guitarset": _guitarset,
}


def _below(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder.parent))


# ── readers of their own kind ────────────────────────────────────────────────────────────────────────────


def _named(path: Path, title: str, composer: str) -> Score:
    return replace(midi.read_quickly(path), title=title, composer=composer)


def _drums(path: Path, row: dict[str, str]) -> Score:
    """A Groove performance with General MIDI keys and the metre that the collection states."""
    score = midi.read_quickly(path)
    top, bottom = (int(n) for n in row["time_signature"].split("-"))

    def general(track: Track) -> Track:
        notes = track.notes.copy()
        for old, new in GROOVE_TO_GENERAL_MIDI.items():
            notes["pitch"][track.notes["pitch"] == old] = new
        return replace(track, notes=notes, is_drums=True, program=0, name="Drums")

    tracks = [general(track) for track in score.tracks if len(track)]
    return replace(score, tracks=tuple(tracks), metres=(Metre(0, top, bottom),), tempos=(Tempo(0, float(row["bpm"])),))


def _tune(tune: TuneText, header: list[str], title: str) -> Score:
    """One tune of a book, after what repairs it needs.

    Raises:
        FormatError: no notes, or voices that drift apart (the source has a wrong note value).
    """
    score = read_tune(tune, header, strict=False).score
    ends = [track.end_ticks for track in score.tracks if len(track)]
    if not ends:
        raise FormatError("an ABC tune with notes", "none")
    if max(ends) - min(ends) > VOICE_END_TOLERANCE_QUARTERS * score.ticks_per_quarter:
        raise FormatError("voices that end together", f"ends {sorted(ends)} in ticks", where=title)
    return score.with_tracks((track for track in score.tracks if len(track)), title=title, composer="")
