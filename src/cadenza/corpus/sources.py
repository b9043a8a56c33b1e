"""Folders of music with known licences → pieces.

Each source is one function from its folder to recipes: a recipe knows where a piece is, whose it is and which work
it belongs to, and reads it when asked. What cannot be read is reported with its reason, never dropped silently.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from cadenza.base.errors import CadenzaError, FormatError
from cadenza.corpus.store import Piece
from cadenza.formats import jams, midi, musicxml
from cadenza.notation.abc import read_tune
from cadenza.notation.abc.text import TuneText, decode_bytes, split_tunes
from cadenza.score.model import Metre, Score, Tempo, Track

# Keys of the Roland kit with which Groove was recorded that General MIDI uses for something else → the GM key.
GROOVE_TO_GENERAL_MIDI = {22: 42, 26: 46, 58: 43}
VOICE_END_TOLERANCE_QUARTERS = 1


@dataclass(frozen=True)
class Recipe:
    """A piece that is not read yet; the fields are those of :class:`Piece`."""

    source: str
    path: str
    licence: str
    attribution: str
    load: Callable[[], Score]
    work_id: str = ""
    split: str = ""
    style: str = ""

    def piece(self) -> Piece:
        """Read it.

        Raises:
            CadenzaError: it cannot be read.
        """
        score = self.load()
        if not score.n_notes:
            raise FormatError("a piece with notes", "none", where=self.path)
        score = score.with_tracks(track for track in score.tracks if len(track))
        work = self.work_id or f"{self.source}/{slug(score.composer)}/{slug(score.title) or Path(self.path).stem}"
        return Piece(work, self.source, self.licence, self.attribution, score, self.split, self.style, self.path)


def slug(text: str) -> str:
    """Letters and digits of ``text``, lower case, without accents, joined by hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[a-z0-9]+", plain.lower()))


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
            partial(musicxml.read, path),
        )


def _quartets(folder: Path) -> Iterator[Recipe]:
    for path in sorted(folder.rglob("*.mxl")):
        yield Recipe(
            "openscore_quartets",
            _below(path, folder),
            "CC0-1.0",
            "OpenScore String Quartets",
            partial(musicxml.read, path),
        )


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


# ── readers of their own kind ────────────────────────────────────────────────────────────────────────────


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
