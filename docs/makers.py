"""Files of the formats that cadenza reads and does not write, made from a score for docs/formats.md and its test.

Guitar Pro 3 and 4: our .gp5, saved again by PyGuitarPro. Guitar Pro 6: the document of our .gp in the container of a
.gpx. JAMS: annotations of each string as GuitarSet has them.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from cadenza import formats
from cadenza.app.matrix import Maker
from cadenza.score.model import Score
from cadenza.score.time import key_at, tempo_at, ticks_to_seconds

SECTOR_BYTES = 4096
VERSIONS = {"gp3": (3, 0, 0), "gp4": (4, 0, 6)}
TONICS = ("Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#")


def older_guitar_pro(score: Score, path: Path) -> None:
    """A .gp3 or .gp4."""
    import guitarpro

    with tempfile.TemporaryDirectory() as folder:
        between = Path(folder, "piece.gp5")
        formats.write(score, between)
        guitarpro.write(guitarpro.parse(str(between)), str(path), version=VERSIONS[path.suffix[1:]])


def guitar_pro_6(score: Score, path: Path) -> None:
    """A .gpx: one file in sectors; the first of it describes it."""
    with tempfile.TemporaryDirectory() as folder:
        between = Path(folder, "piece.gp")
        formats.write(score, between)
        with zipfile.ZipFile(between) as archive:
            document = archive.read("Content/score.gpif")
    n_sectors = -(-len(document) // SECTOR_BYTES)
    entry = bytearray(SECTOR_BYTES)
    entry[0:4] = (2).to_bytes(4, "little")
    entry[4:14] = b"score.gpif"
    entry[140:144] = len(document).to_bytes(4, "little")
    for index in range(n_sectors):
        entry[148 + 4 * index : 152 + 4 * index] = (2 + index).to_bytes(4, "little")
    body = document.ljust(n_sectors * SECTOR_BYTES, b"\0")
    path.write_bytes(b"BCFS" + bytes(SECTOR_BYTES) + bytes(entry) + body)


def jams(score: Score, path: Path) -> None:
    """A .jams of the first track's notes on strings."""

    def annotation(namespace: str, data: object, source: str = "") -> dict[str, object]:
        return {"namespace": namespace, "data": data, "annotation_metadata": {"data_source": source}}

    def one(time: float, duration: float, value: object) -> dict[str, object]:
        return {"time": time, "duration": duration, "value": value, "confidence": None}

    def seconds(ticks: int) -> float:
        return float(ticks_to_seconds(score, ticks))

    end, key, tempo = seconds(score.length_ticks), key_at(score, 0), tempo_at(score, 0)
    listed = [annotation("tempo", [one(0, end, tempo.quarters_per_minute)])]
    if key is not None:
        tonic = TONICS[key.fifths + 7 + (3 if key.mode == "minor" else 0)]
        listed.append(annotation("key_mode", [one(0, end, f"{tonic}:{key.mode}")]))
    track = score.tracks[0]
    for string in range(1, len(track.tuning) + 1):
        notes, times, values = [], [], []
        for row, note in enumerate(track):
            if note.string != string:
                continue
            start, stop = seconds(note.onset_ticks), seconds(note.offset_ticks)
            notes.append(one(start, stop - start, float(note.pitch)))
            points = track.bends_of(row)
            if points:
                x, y = [seconds(note.onset_ticks + p.offset_ticks) for p in points], [p.cents for p in points]
                for time in np.arange(start, stop, 0.0058).tolist():
                    cents = 100 * note.pitch + float(np.interp(time, x, y))
                    times.append(time)
                    values.append({"voiced": True, "index": 0, "frequency": 440 * 2 ** ((cents - 6900) / 1200)})
        source = str(len(track.tuning) - string)
        contour = {"time": times, "value": values}
        listed += [annotation("note_midi", notes, source), annotation("pitch_contour", contour, source)]
    tree = {"file_metadata": {"title": score.title, "duration": end}, "annotations": listed}
    path.write_text(json.dumps(tree), "utf-8")


MAKERS: dict[str, Maker] = {"gp3": older_guitar_pro, "gp4": older_guitar_pro, "gpx": guitar_pro_6, "jams": jams}
