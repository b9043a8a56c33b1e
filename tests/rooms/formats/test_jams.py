"""GuitarSet JAMS: a small file by hand, junk, and every file of the collection."""

import json

import numpy as np
import pytest

from cadenza.base.errors import FormatError
from cadenza.formats import jams
from cadenza.score.model import Key, Metre, Tempo


def annotation(namespace, data, source=""):
    return {"namespace": namespace, "data": data, "annotation_metadata": {"data_source": source}}


def one(time, duration, value):
    return {"time": time, "duration": duration, "value": value, "confidence": None}


def contour(start, stop, pitches):
    times = np.linspace(start, stop, len(pitches), endpoint=False)
    hertz = 440 * 2 ** ((np.asarray(pitches) - 69) / 12)
    return {"time": times.tolist(), "value": [{"voiced": True, "index": 0, "frequency": float(f)} for f in hertz]}


def tree(*extra):
    return {
        "file_metadata": {"title": "00_Test-120-A_solo", "duration": 4.0},
        "annotations": [
            annotation("tempo", [one(0, 4, 120.0)]),
            annotation("key_mode", [one(0, 4, "F#:minor")]),
            annotation("note_midi", [one(0.5, 0.5, 40.04)], "0"),
            annotation("note_midi", [one(1.0, 1.0, 67.02), one(2.5, 0.25, 64.0)], "5"),
            *extra,
        ],
    }


def read(tmp_path, value, name="00_Test-120-A_solo.jams"):
    path = tmp_path / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return jams.read(path)


def test_strings_frets_and_ticks(tmp_path):
    score = read(tmp_path, tree())
    assert score.tempos == (Tempo(0, 120.0),)
    assert score.metres == (Metre(0, 4, 4),)
    assert score.keys == (Key(0, 3, "minor"),)
    assert score.length_ticks == 8 * 480
    track = score.tracks[0]
    found = [(n.onset_ticks, n.duration_ticks, n.pitch, n.string, n.fret, n.bends) for n in track]
    assert found == [(480, 480, 40, 6, 0, ()), (960, 960, 67, 1, 3, ()), (2400, 240, 64, 1, 0, ())]
    assert track.tuning[0] == 64


def test_a_bend_is_kept_within_ten_cents_and_a_wobble_is_not(tmp_path):
    up = np.concatenate([np.full(50, 67.0), np.linspace(67, 69, 50), np.full(70, 69.0)]) + 0.02
    score = read(tmp_path, tree(annotation("pitch_contour", contour(1.0, 2.0, up), "5")))
    (row,) = np.unique(score.tracks[0].bends["note"])
    bends = score.tracks[0].bends_of(int(row))
    assert score.tracks[0][int(row)].pitch == 67
    assert 3 <= len(bends) <= 6
    at = np.interp(np.arange(170) / 170 * 960, [b.offset_ticks for b in bends], [b.cents for b in bends])
    assert np.abs(at - 100 * (up - 67)).max() < 15  # 10 of the thinning, 2 of the tuning, rounding
    wobble = 67 + 0.2 * np.sin(np.arange(170))
    assert not len(read(tmp_path, tree(annotation("pitch_contour", contour(1.0, 2.0, wobble), "5"))).tracks[0].bends)


def test_the_tempo_may_come_from_the_name(tmp_path):
    value = tree()
    del value["annotations"][0]
    assert read(tmp_path, value, "00_BN1-129-Eb_comp.jams").tempos == (Tempo(0, 129.0),)
    with pytest.raises(FormatError, match="tempo annotation"):
        read(tmp_path, value, "unnamed.jams")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "broken JSON"),
        ("[" * 100_000, "broken JSON"),
        ("[]", "list of annotations"),
        ({"annotations": [3]}, "as JAMS defines"),
        ({"annotations": [annotation("tempo", [one(0, 1, 100)])]}, "single strings"),
        (tree(annotation("note_midi", [one("x", 1, 60)], "1")), "as JAMS defines"),
        (tree(annotation("note_midi", [one(-1, 1, 60)], "1")), "with a time"),
        (tree(annotation("note_midi", [one(1e12, 1, 60)], "1")), "quarters"),
        (tree(annotation("note_midi", [one(1, 1, 1e300)], "1")), "with a time"),
    ],
)
def test_junk_gives_a_typed_error(tmp_path, value, expected):
    with pytest.raises(FormatError, match=expected):
        read(tmp_path, value)


@pytest.mark.shared
def test_all_of_guitarset(shared_data):
    files = sorted((shared_data / "guitarset").glob("*.jams"))
    assert len(files) == 14
    for path in files:
        score, tree = jams.read(path), json.loads(path.read_text())
        listed = [n for a in tree["annotations"] if a["namespace"] == "note_midi" for n in a["data"]]
        assert score.n_notes == len(listed)
        assert (score.tracks[0].notes["string"] > 0).all(), path
        beats = [b["time"] for a in tree["annotations"] if a["namespace"] == "beat_position" for b in a["data"]]
        ticks = np.array(beats) * score.tempos[0].quarters_per_minute / 60 * 480
        assert np.abs(ticks / 480 - np.rint(ticks / 480)).max() < 1e-6
        bent = len(np.unique(score.tracks[0].bends["note"])) / score.n_notes
        assert bent < 0.3, f"{path}: {bent:.0%} of the notes bend; most must not"
