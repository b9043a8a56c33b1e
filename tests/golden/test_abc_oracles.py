"""ABC against abc2midi and symusic: the pinned counts of ``abc_oracles.py``, and a sample measured anew."""

from __future__ import annotations

import json
import shutil

import pytest

from cadenza.notation.abc import Abc, read_tunes
from cadenza.score.model import Key, Metre, Note, Score, Track
from tests.golden.abc_oracles import PINNED, abc2midi, differences, heard, hymns, written

needs_abc2midi = pytest.mark.skipif(
    shutil.which("abc2midi") is None, reason="abc2midi (package abcmidi) is not installed"
)
SAMPLE = 20

# What music21 reads too: it does not let an accidental hold up to the bar line, so each is said.
PLAIN = "X:1\nT:t\nM:4/4\nL:1/8\nK:D\nF2 =F ^F z4 | [DFA]2 A>B (3cde c'2- | c'2 D,2 _B,4 |]\n"


@needs_abc2midi
def test_a_tune_of_every_kind_of_thing():
    tune = PLAIN.replace("|]", "|: G4 ^G4 |1 A8 :|2 {g}B8 |]").replace("{g}", "")
    (found,) = read_tunes(tune)
    theirs, findings = abc2midi(tune)
    assert findings == []
    assert differences(heard(found.score), theirs) == ([], [])


@needs_abc2midi
def test_written_text_of_many_voices_is_heard_alike():
    chords = [Note(240 * i, 240 * (1 + i % 3), 48 + 5 * i % 24, 47 + 16 * (i % 4)) for i in range(40)]
    drums = [Note(160 * i, 160, 36 + i % 5) for i in range(60)]
    score = Score(
        (Track.of(chords, name="a \"b\" %"), Track.of(drums, is_drums=True)),
        keys=(Key(0, -3),), metres=(Metre(0, 3, 4), Metre(4320, 5, 8)),
    )  # fmt: skip
    for options in ({}, {"layout": "by_track"}, {"unit": 8}):
        text = Abc(**options).encode(score)
        theirs, findings = abc2midi(text)
        assert findings == []
        assert differences(heard(Abc(**options).decode(text)), theirs) == ([], [])


def test_music21_reads_the_same():
    music21 = pytest.importorskip("music21")
    found = music21.converter.parse(PLAIN, format="abc").stripTies().flatten()
    theirs = [(float(n.offset), float(n.quarterLength), p.midi) for n in found.notes for p in n.pitches]
    (ours,) = read_tunes(PLAIN)
    assert differences(heard(ours.score), theirs) == ([], [])


@pytest.mark.slow
@pytest.mark.shared
@needs_abc2midi
def test_hymns(shared_data):
    pytest.importorskip("symusic")
    counts, lines = hymns(shared_data)
    assert dict(counts) == json.loads(PINNED.read_text())["hymns"], lines
    # X:65 has a stray apostrophe after a staccato dot, which the others take for the next note's and play short.
    assert {line.split(":")[1] for line in lines if " lacks " in line} == {"65"}


@pytest.mark.slow
@pytest.mark.shared
@needs_abc2midi
def test_written_scores(shared_data):
    counts, lines = written(shared_data, SAMPLE, seed=1)
    assert counts["scores"] == counts["without a warning"] == counts["equal notes"] == counts["read back equal"], lines


def test_pinned_counts_are_those_asked_for():
    pinned = json.loads(PINNED.read_text())
    assert pinned["hymns"]["tunes"] == pinned["hymns"]["strict"] + pinned["hymns"]["with repairs"] == 292
    assert pinned["written"]["scores"] >= 500
