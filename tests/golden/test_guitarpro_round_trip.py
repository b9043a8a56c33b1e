"""Every gp3–5 fixture: read, written as .gp5, read again. What differs is named; PyGuitarPro agrees."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import guitarpro
import pytest

from cadenza.formats.guitarpro import PROJECTION, read, write
from cadenza.score.edit import drop_marks, project
from cadenza.score.model import Score, Technique

OVERFULL_END = "the last bar holds more than its metre; the written file has one bar more for the rest"
OVERFULL = "a bar holds more than its metre; the note that meets the next bar's on its string goes to the second voice"

DIFFERING = {
    "alphatab/guitarpro3/hammer.gp3": OVERFULL_END,
    "alphatab/guitarpro4/hammer.gp4": OVERFULL_END,
    "alphatab/guitarpro5/hammer.gp5": OVERFULL_END,
    "alphatab/guitarpro3/notes.gp3": OVERFULL_END,
    "alphatab/guitarpro4/notes.gp4": OVERFULL_END,
    "alphatab/guitarpro5/notes.gp5": OVERFULL_END,
    "alphatab/guitarpro4/fingering.gp4": OVERFULL_END,
    "alphatab/guitarpro5/fingering.gp5": OVERFULL_END,
    "alphatab/guitarpro5/alternate-endings-section-error.gp5": OVERFULL_END,
    "alphatab/guitarpro3/effects.gp3": OVERFULL,
    "alphatab/guitarpro4/effects.gp4": OVERFULL,
    "alphatab/guitarpro5/effects.gp5": OVERFULL,
}


def voiceless(score: Score) -> list[list[tuple]]:
    return [
        sorted(
            (n.onset_ticks, n.duration_ticks, n.pitch, n.string, n.fret, n.velocity, int(n.techniques), n.bends)
            for n in track
        )
        for track in score.tracks
    ]


def test_fixtures_come_back(shared_data: Path, tmp_path: Path) -> None:
    root = shared_data / "guitarpro"
    written = tmp_path / "written.gp5"
    differing: dict[str, str] = {}
    seen: Counter = Counter()
    for path in sorted(root.rglob("*.gp[345]")):
        name = str(path.relative_to(root))
        score = read(path)
        write(score, written)
        again = read(written)
        assert again == project(score, PROJECTION), name
        if again != drop_marks(("source", "overfull")).apply(score):  # no .gp5 file says these two
            assert voiceless(again) == voiceless(score), name
            differing[name] = OVERFULL if again.length_ticks == score.length_ticks else OVERFULL_END
        for track in again.tracks:
            seen.update(t for n in track for t in Technique if t & n.techniques)
        agrees_with_pyguitarpro(again, guitarpro.parse(str(written)), name)
    assert differing == DIFFERING
    # Every technique that the formats hold is somewhere in the fixtures and survives.
    assert set(seen) == set(Technique) - {Technique.NONE}


def agrees_with_pyguitarpro(score: Score, song: guitarpro.Song, name: str) -> None:
    """The independent reader finds the same tracks, bars, notes and bends."""
    assert song.title == score.title
    assert song.tempo == score.tempos[0].quarters_per_minute
    assert sum(h.repeatClose > 0 for h in song.measureHeaders) == sum(m.repeat_close > 0 for m in score.bars), name
    for track, ours in zip(song.tracks, score.tracks, strict=True):
        assert track.isPercussionTrack == ours.is_drums
        if not ours.is_drums:
            assert tuple(s.value for s in track.strings) == ours.tuning
            assert track.channel.instrument == ours.program
        notes = [n for m in track.measures for v in m.voices for b in v.beats for n in b.notes]
        begun = [n for n in notes if n.type != guitarpro.NoteType.tie]
        from_nothing = sum(mark.kind == "tie" for mark in ours.marks)  # tied notes that no note comes before
        assert len(begun) + from_nothing + sum(n.effect.isGrace for n in notes) == len(ours), name
        assert sum(n.type == guitarpro.NoteType.dead for n in begun) + sum(
            n.effect.isGrace and n.effect.grace.isDead for n in notes
        ) == sum(bool(n.techniques & Technique.DEAD) for n in ours)
        heights = sorted(max(p.value for p in n.effect.bend.points) for n in begun if n.effect.isBend)
        bent = [n for n in ours if n.bends and not n.techniques & Technique.GRACE]
        assert heights == sorted(max(b.cents for b in n.bends) // 50 for n in bent), name


@pytest.mark.parametrize("suffix", [".gp3", ".gp4"])
def test_older_suffixes_are_refused(suffix: str, tmp_path: Path) -> None:
    from cadenza.base.errors import FormatError

    with pytest.raises(FormatError, match=r"\.gp5"):
        write(Score(), tmp_path / f"piece{suffix}")
    assert not list(tmp_path.iterdir())
