"""Folder layouts of public datasets, as researchers have them on disk → recipes.

A layout knows its folder by its shape (:attr:`Layout.matches`), and names the pieces, their works, official splits and
licences from the dataset's own metadata. What matches no layout is read as a plain folder: every file whose suffix can
be read, its work named by its path.

=============== ===================================================================================================
guitarset        Xi et al. 2018: ``annotation/*.jams`` or ``*.jams``
dadagp           Sarmento et al. 2021: ``A/Artist/Artist - Title.gp?`` beside ``.tokens.txt``; artist by folder
giantmidi-piano  Kong et al. 2020: ``midis*/Surname, First, Title, id.mid`` and ``full_music_pieces_youtube_*.csv``;
                 the table's facts serve the published selection (``--recipe giantmidi-piano``)
maestro          Hawthorne et al. 2019: ``maestro-v*.csv`` with composer, title and split
urmp             Li et al. 2019: ``NN_Name_inst_inst/Sco_*.mid`` and ``Notes_*.txt`` (onset s, Hz, duration s)
musicnet         Thickstun et al. 2017: ``musicnet_metadata.csv``, ``musicnet_midis/COMPOSER/ID_*.mid`` or
                 ``train_labels/ID.csv`` and ``test_labels/ID.csv`` (44.1 kHz samples)
slakh            Manilow et al. 2019: ``[train|validation|test/]TrackNNNNN/all_src.mid`` and ``metadata.yaml``
=============== ===================================================================================================
"""

from __future__ import annotations

import csv
import glob
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cadenza import formats
from cadenza.base.errors import CadenzaError, FormatError
from cadenza.corpus.recipe import Recipe, slug
from cadenza.formats import jams, midi
from cadenza.score.model import NO_FRET, NO_SPELLING, NO_STRING, NOTE_DTYPE, Score, Tempo, Track

MUSICNET_SAMPLE_RATE = 44_100
TICKS_PER_QUARTER, QUARTERS_PER_MINUTE = 500, 120.0  # one tick a millisecond
GUITAR_PRO = (".gp3", ".gp4", ".gp5", ".gpx", ".gp")


@dataclass(frozen=True)
class Layout:
    """A dataset's shape on disk."""

    name: str
    matches: Callable[[Path], bool]
    recipes: Callable[[Path], Iterator[Recipe]]


Listen = Callable[[Path], Score]
#: Suffixes of recordings.
AUDIO = frozenset({".wav", ".flac", ".ogg", ".mp3", ".m4a"})


def plain_folder(folder: Path, source: str = "", listen: Listen | None = None) -> Iterator[Recipe]:
    """Every file below ``folder`` that can be read; a collection (a book of tunes) gives one recipe a tune. Recordings
    (:data:`AUDIO`) are among them where ``listen`` says their notes; their style is "audio"."""
    known = set(formats.suffixes("read"))
    source = source or folder.name

    def heard(path: Path) -> bool:
        return listen is not None and path.suffix.lower() in AUDIO

    for path in sorted(p for p in folder.rglob("*") if (formats.is_music(p, known) or heard(p)) and p.is_file()):
        below = path.relative_to(folder).as_posix()
        if listen is not None and heard(path):
            work = "/".join([source, *(slug(part) or part for part in path.relative_to(folder).parts)])
            hears = partial(listen, path)
            yield Recipe(source, f"{source}/{below}", "unknown", "unknown", path, hears, work_id=work, style="audio")
            continue
        common = Recipe(source, f"{source}/{below}", "unknown", "unknown", path, partial(formats.read_quickly, path))
        work = "/".join([source, *(slug(part) or part for part in path.relative_to(folder).with_suffix("").parts)])
        module = formats.module_for(path, "read")
        tunes = _tunes(module, path)
        if tunes is None:
            yield replace(common, work_id=work)
        else:
            for number, tune in tunes:
                yield replace(common, path=f"{common.path}#{number}", work_id=f"{work}#{number}", load=tune)


def _tunes(module: Any, path: Path) -> list[tuple[int, Callable[[], Score]]] | None:
    """(number, how to read it) of a book's tunes; None where the file is one piece or cannot be taken apart yet."""
    numbers = getattr(module, "numbers", None)
    if numbers is None:
        return None
    try:
        return [(number, partial(formats.read, f"{path}#{number}")) for number in numbers(path)]
    except CadenzaError:
        return None  # reading it will say why


# ── one by one ───────────────────────────────────────────────────────────────────────────────────────────


def _rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """A table's rows by column.

    Raises:
        FormatError: it is missing or no table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter=delimiter))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FormatError("a table with a header", str(error)[:200], where=str(path)) from None


def _guitarset(folder: Path) -> Iterator[Recipe]:
    inner = folder / "annotation" if (folder / "annotation").is_dir() else folder
    for path in sorted(inner.glob("*.jams")):
        # 00_BN1-129-Eb_comp: player, style and progression, tempo, key, part
        match = re.match(r"\d+_([A-Za-z]+\d*)-", path.name)
        yield Recipe(
            "guitarset", f"guitarset/{path.name}", "MIT", "GuitarSet (Xi et al. 2018)", path, partial(jams.read, path),
            work_id=f"guitarset/{match[1] if match else path.stem}", style=path.stem.rpartition("_")[2],
        )  # fmt: skip


def _dadagp(folder: Path) -> Iterator[Recipe]:
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in GUITAR_PRO and p.is_file()):
        below = path.relative_to(folder)
        artist = below.parts[-2] if len(below.parts) > 1 else ""
        title = path.stem.removeprefix(f"{artist} - ")
        # "Title (2)" and "Title (ver 3 by somebody)" are versions of one song.
        song = re.sub(r"\s*\((\d+|ver[^)]*)\)\s*$", "", title)
        yield Recipe(
            "dadagp", f"dadagp/{below.as_posix()}", "research only", "DadaGP (Sarmento et al. 2021)", path,
            partial(_named, path, title, artist), work_id=f"dadagp/{slug(artist)}/{slug(song) or slug(title)}",
            style="tab",
        )  # fmt: skip


def _named(path: Path, title: str, artist: str) -> Score:
    score = formats.read(path)
    return replace(score, title=score.title or title, composer=score.composer or artist)


def _giantmidi(folder: Path) -> Iterator[Recipe]:
    table = next(iter(sorted(folder.glob("full_music_pieces_youtube_*.csv"))))
    rows = _rows(table, "\t") if "\t" in table.open(encoding="utf-8").readline() else _rows(table)
    for row in rows:
        composer, title = f"{row['firstname']} {row['surname']}".strip(), row["music"]
        try:
            facts = {
                "title_overlap": round(title_overlap(title, row.get("youtube_title") or ""), 6),
                "solo_piano_probability": float(row.get("audio_solo_piano_prob") or 0),
            }
        except ValueError as error:
            expected = "a probability in the column audio_solo_piano_prob"
            raise FormatError(expected, str(error), where=str(table)) from None
        for path in sorted(folder.glob(f"midis*/*{glob.escape(row['youtube_id'])}.mid")):
            yield Recipe(
                "giantmidi-piano", f"giantmidi-piano/{path.relative_to(folder).as_posix()}", "CC-BY-4.0",
                "GiantMIDI-Piano (Kong et al. 2020)", path, partial(_with_names, path, title, composer),
                work_id=f"giantmidi-piano/{slug(composer)}/{slug(title)}", split=row.get("split") or "", style="piano",
                facts=facts,
            )  # fmt: skip


def title_overlap(title: str, other: str) -> float:
    """Share of the words of ``title`` that ``other`` has too."""
    words, others = slug(title).split("-"), set(slug(other).split("-"))
    return sum(word in others for word in words) / len(words) if slug(title) else 0.0


def _with_names(path: Path, title: str, composer: str) -> Score:
    return replace(midi.read_quickly(path), title=title, composer=composer)


def _maestro(folder: Path) -> Iterator[Recipe]:
    for row in _rows(next(iter(sorted(folder.glob("maestro-v*.csv"))))):
        path = folder / row["midi_filename"]
        composer, title = row["canonical_composer"], row["canonical_title"]
        yield Recipe(
            "maestro", f"maestro/{row['midi_filename']}", "CC-BY-NC-SA-4.0", "MAESTRO (Hawthorne et al. 2019)", path,
            partial(_with_names, path, title, composer), work_id=f"maestro/{slug(composer)}/{slug(title)}",
            split=row["split"], style="piano",
        )  # fmt: skip


def _urmp(folder: Path) -> Iterator[Recipe]:
    for inner in sorted(p for p in folder.iterdir() if p.is_dir() and re.match(r"\d+_", p.name)):
        notes = sorted(inner.glob("Notes_*.txt"))
        if notes:
            yield Recipe(
                "urmp", f"urmp/{inner.name}", "research only", "URMP (Li et al. 2019)", notes[0],
                partial(_urmp_score, notes, inner.name), work_id=f"urmp/{inner.name}", style="chamber",
            )  # fmt: skip


_URMP_PROGRAMS = {
    "vn": 40, "va": 41, "vc": 42, "db": 43, "fl": 73, "ob": 68, "cl": 71, "sax": 65, "bn": 70, "tpt": 56, "hn": 60,
    "tbn": 57, "tba": 58,
}  # fmt: skip


def _urmp_score(paths: list[Path], name: str) -> Score:
    """The aligned notes of all players: seconds and hertz, one file each, ``Notes_1_vn_01_Jupiter.txt``."""
    tracks = []
    for path in paths:
        instrument = path.name.split("_")[2]
        try:
            table = np.loadtxt(path, ndmin=2)
        except ValueError as error:
            raise FormatError("lines of onset, hertz and duration", str(error)[:200], where=str(path)) from None
        pitch = np.rint(69 + 12 * np.log2(np.maximum(table[:, 1], 1e-3) / 440))
        tracks.append(_performed(table[:, 0], table[:, 2], pitch, instrument, _URMP_PROGRAMS.get(instrument, 0)))
    return Score(tuple(tracks), TICKS_PER_QUARTER, (Tempo(0, QUARTERS_PER_MINUTE),), title=name)


def _performed(onset: Any, duration: Any, pitch: Any, name: str, program: int) -> Track:
    """A track of notes in seconds, at a millisecond a tick."""
    fits = (pitch >= 0) & (pitch <= 127)
    notes = np.zeros(int(fits.sum()), NOTE_DTYPE)
    notes["onset_ticks"] = np.maximum(np.rint(onset[fits] * 1000), 0)
    notes["duration_ticks"] = np.maximum(np.rint(duration[fits] * 1000), 1)
    notes["pitch"], notes["velocity"] = pitch[fits], 95
    notes["string"], notes["fret"], notes["spelling"] = NO_STRING, NO_FRET, NO_SPELLING
    return Track(name=name, program=program, notes=notes)


def _musicnet(folder: Path) -> Iterator[Recipe]:
    for row in _rows(folder / "musicnet_metadata.csv"):
        composer, title = row["composer"], f"{row['composition']}: {row['movement']}"
        common = Recipe(
            "musicnet", f"musicnet/{row['id']}", "CC-BY-4.0", "MusicNet (Thickstun et al. 2017)", folder, Score,
            work_id=f"musicnet/{slug(composer)}/{slug(row['composition'])}", style=row.get("ensemble", ""),
        )  # fmt: skip
        for split in ("train", "test"):
            path = folder / f"{split}_labels" / f"{row['id']}.csv"
            if path.exists():
                yield replace(common, file=path, load=partial(_musicnet_score, path, title, composer), split=split)
                break
        else:
            for path in sorted(folder.glob(f"musicnet_midis/*/{row['id']}_*.mid")):
                yield replace(common, file=path, load=partial(_with_names, path, title, composer))


def _musicnet_score(path: Path, title: str, composer: str) -> Score:
    rows = _rows(path)
    programs: dict[int, list[tuple[float, float, int]]] = {}
    try:
        for row in rows:
            start, end = int(row["start_time"]), int(row["end_time"])
            # Instruments are General MIDI programs counted from 1.
            note = (start / MUSICNET_SAMPLE_RATE, (end - start) / MUSICNET_SAMPLE_RATE, int(row["note"]))
            programs.setdefault(int(row["instrument"]) - 1, []).append(note)
    except (KeyError, ValueError) as error:
        raise FormatError("columns start_time, end_time, instrument, note", str(error), where=str(path)) from None
    tracks = []
    for program, listed in sorted(programs.items()):
        table = np.array(listed)
        tracks.append(_performed(table[:, 0], table[:, 1], table[:, 2], "", min(max(program, 0), 127)))
    return Score(tuple(tracks), TICKS_PER_QUARTER, (Tempo(0, QUARTERS_PER_MINUTE),), title=title, composer=composer)


def _slakh(folder: Path) -> Iterator[Recipe]:
    for path in sorted(folder.rglob("all_src.mid")):
        inner = path.parent
        split = inner.parent.name if inner.parent.name in ("train", "validation", "test") else ""
        yield Recipe(
            "slakh", f"slakh/{path.relative_to(folder).as_posix()}", "CC-BY-4.0", "Slakh2100 (Manilow et al. 2019)",
            path, partial(midi.read_quickly, path), work_id=f"slakh/{inner.name}", split=split, style="band",
        )  # fmt: skip


def _has(*patterns: str) -> Callable[[Path], bool]:
    return lambda folder: any(next(folder.glob(pattern), None) is not None for pattern in patterns)


LAYOUTS: tuple[Layout, ...] = (
    Layout("maestro", _has("maestro-v*.csv"), _maestro),
    Layout("giantmidi-piano", _has("full_music_pieces_youtube_*.csv"), _giantmidi),
    Layout("musicnet", _has("musicnet_metadata.csv"), _musicnet),
    Layout("slakh", _has("Track[0-9]*/all_src.mid", "train/Track[0-9]*/all_src.mid"), _slakh),
    Layout("urmp", _has("[0-9][0-9]_*/Notes_*.txt"), _urmp),
    Layout("dadagp", _has("_DadaGP_*.json", "*/*/*.tokens.txt"), _dadagp),
    Layout("guitarset", _has("annotation/[0-9][0-9]_*.jams", "[0-9][0-9]_*-*-*_*.jams"), _guitarset),
)
