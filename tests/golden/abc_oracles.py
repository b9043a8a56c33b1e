"""ABC against other readers: what abc2midi and symusic hear in a text, and what we read in it.

    CADENZA_SHARED=… python -m tests.golden.abc_oracles hymns | written [N]

prints every tune or file with a difference, and writes the counts to ``abc_oracles.json`` beside this script.

Compared are notes as they sound (repeats unfolded): pitch, onset within 0.02 and duration within 0.05 quarters
(abc2midi ends notes up to eleven 480ths early). Decorations go first: the others play staccato, trills, fermatas and
grace notes each in its own way.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from cadenza import formats
from cadenza.base.errors import CadenzaError
from cadenza.formats import midi
from cadenza.notation.abc import Abc, read_tune
from cadenza.notation.abc.text import TuneText, decode_bytes, split_tunes
from cadenza.score.edit import drop_techniques, project
from cadenza.score.model import Score, Technique
from cadenza.score.repeats import unfold

PINNED = Path(__file__).with_name("abc_oracles.json")
ONSET_QUARTERS, DURATION_QUARTERS = 0.02, 0.05
MAX_NOTES = 4_000  # of a file whose writing is checked
KINDS = ("openscore_lieder/**/*.mxl", "openscore_quartets/**/*.mxl", "mutopia/**/*.mid", "groove/**/*.mid",
         "guitarpro/**/*.gp[345]")  # fmt: skip
Heard = list[tuple[float, float, int]]  # onset, duration (quarters), pitch


def heard(score: Score) -> Heard:
    """The notes of a score as they sound."""
    score = unfold().apply(score)
    quarter = score.ticks_per_quarter
    return [
        (int(n["onset_ticks"]) / quarter, int(n["duration_ticks"]) / quarter, int(n["pitch"]))
        for track in score.tracks
        for n in track.notes
    ]


def together(text: str) -> str:
    """The text for readers that delay each further note of a chord by ten ticks unless told otherwise."""
    return re.sub(r"(?m)^(X:.*)$", "\\1\n%%MIDI chordattack 0", text, count=1)


def abc2midi(text: str) -> tuple[Heard, list[str]]:
    """What abc2midi plays, and its warnings and errors."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "tune.abc", Path(folder) / "tune.mid"
        source.write_text(together(text), "utf-8")
        done = subprocess.run(
            ["abc2midi", str(source), "-o", str(target)], capture_output=True, timeout=60, check=False
        )
        said = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
        findings = [line for line in said if line.startswith(("Warning", "Error"))]
        return heard(midi.read(target)) if target.exists() else [], findings


def symusic(text: str) -> Heard:
    """What symusic reads."""
    from symusic import Score as SymusicScore

    found = SymusicScore.from_abc(together(text))
    return [(n.time / found.tpq, n.duration / found.tpq, n.pitch) for track in found.tracks for n in track.notes]


def differences(ours: Heard, theirs: Heard) -> tuple[Heard, Heard]:
    """Notes of ours that they lack, and of theirs that we lack."""
    left: dict[int, Heard] = defaultdict(list)
    for note in sorted(theirs):
        left[note[2]].append(note)
    missing = []
    for note in sorted(ours):
        same = left[note[2]]
        for place, other in enumerate(same):
            if abs(other[0] - note[0]) < ONSET_QUARTERS and abs(other[1] - note[1]) < DURATION_QUARTERS:
                del same[place]
                break
        else:
            missing.append(note)
    return missing, sorted(note for notes in left.values() for note in notes)


def undecorated(tune: TuneText) -> str:
    """The tune's text without decorations and staccato dots."""
    lines = []
    for line in tune.lines:
        if not line.startswith("%") and (line[1:2] != ":" or line.startswith("[")):
            line = re.sub(r"![^!\n]{1,30}!", "", line)
            line = re.sub(r"\.(?=[\[_^=A-Ga-g(])", "", line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def hymns(data: Path) -> tuple[Counter[str], list[str]]:
    """Counts over the hymn book, and a line for each tune with something to say."""
    header, tunes = split_tunes(decode_bytes((data / "openhymnal" / "OpenHymnal.abc").read_bytes()))
    counts: Counter[str] = Counter()
    lines = []
    for tune in tunes:
        counts["tunes"] += 1
        repairs = [p for p in read_tune(tune, header, strict=False).problems if p.severity == "error"]
        counts["strict" if not repairs else "with repairs"] += 1
        lines += [f"X:{tune.number}: {problem}" for problem in repairs]
        text = undecorated(tune)
        ours = heard(read_tune(next(split_tunes(text)[1]), header, strict=False).score)
        for name, theirs in (("abc2midi", abc2midi(text)[0]), ("symusic", symusic(text))):
            missing, extra = differences(ours, theirs)
            counts[f"equal to {name}"] += not missing and not extra
            if missing or extra:
                lines.append(f"X:{tune.number}: {name} lacks {missing[:3]}, has {extra[:3]}")
    return counts, lines


def written(data: Path, n: int, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Counts over ``n`` files of all kinds, written as ABC, and a line for each with something to say."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    lines = []
    found = [sorted(data.glob(kind)) for kind in KINDS]
    for files in found:
        rng.shuffle(files)
    queue = [files.pop() for _ in range(max(map(len, found))) for files in found if files]
    notation = Abc()
    for path in queue:
        if counts["scores"] == n:
            break
        try:
            score = formats.read(path)
        except CadenzaError:
            counts["not readable"] += 1
            continue
        if not 0 < score.n_notes <= MAX_NOTES:
            continue
        counts["scores"] += 1
        counts[path.suffix] += 1
        text = notation.encode(score)
        projected = project(score, notation.projection)
        counts["read back equal"] += notation.decode(text) == projected
        _, findings = abc2midi(text)
        counts["without a warning"] += not findings
        plain = projected.map_tracks(lambda t: t.keep(t.notes["techniques"] & int(Technique.GRACE) == 0))
        plain_text = notation.encode(drop_techniques().apply(plain))
        theirs, further = abc2midi(plain_text)
        missing, extra = differences(heard(notation.decode(plain_text)), theirs)
        counts["equal notes"] += not missing and not extra
        if findings or further or missing or extra:
            lines.append(
                f"{path.name}: {findings[:2]}, lacks {len(missing)} {missing[:2]}, has {len(extra)} {extra[:2]}"
            )
    return counts, lines


def main() -> None:
    """Measure, print, pin."""
    data = Path(os.environ["CADENZA_SHARED"]) / "data"
    what = sys.argv[1]
    counts, lines = hymns(data) if what == "hymns" else written(data, int((*sys.argv, "", "500")[2] or 500))
    for line in lines:
        print(line, flush=True)
    print(dict(counts))
    pinned = json.loads(PINNED.read_text()) if PINNED.exists() else {}
    pinned[what] = dict(sorted(counts.items()))
    PINNED.write_text(json.dumps(pinned, indent=2) + "\n")


if __name__ == "__main__":
    main()
