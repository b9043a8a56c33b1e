"""All 302 Guitar Pro fixtures, versions 3–8, against alphaTab: precision and recall of every effect of every version.

Every difference is in ``NAMED``, with its cause; nothing else differs. ``python -m tests.golden.test_guitarpro_effects
FOLDER`` prints the table for a folder of shared data.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from pathlib import Path

from cadenza.formats import read
from tests.golden.guitarpro_golden import NOTE_EFFECTS, SCORE_EFFECTS, Tally, compare, fixtures, version_of

GRACE_AT_ZERO = "alphaTab puts a grace note before tick 0; here it takes its time from its main note"
OTHER_KEY = (
    "27 High Q, 28 Slap and 32 Square Click of General MIDI 2 are unknown to later Guitar Pros, so alphaTab falls "
    "back to 42, 60 and 31 (its issue 2538); here the file's own key stands"
)
TAPPED = (
    "the file keeps the tapped fret counted from the nut, 12 above the finger: an octave, as the same tabs saved by "
    "Guitar Pro 4, 6 and 7 say; alphaTab counts it from the finger"
)
BELOW_THE_STRING = "a keyboard's note below its lowest 'string' has a negative fret; a Score knows its pitch only"
TUPLET_DRIFT = "alphaTab drops the fraction of every note of an odd tuplet; here its last note takes what is left"
OF_THE_BEAT = "Guitar Pro 3 keeps the finger's vibrato by the beat; alphaTab files it as the tremolo bar's"

# file → effect → (missing, extra, cause)
NAMED: dict[str, dict[str, tuple[int, int, str]]] = {
    **{
        f"alphatab__guitarpro{version}__grace.{suffix}": {
            "note": (2, 2, GRACE_AT_ZERO),
            "end": (1, 1, GRACE_AT_ZERO),
        }
        for version, suffix in ((3, "gp3"), (4, "gp4"), (5, "gp5"), (6, "gpx"), (7, "gp"))
    },
    "alphatab__guitarpro5__percussion-all.gp5": {"note": (3, 3, OTHER_KEY)},
    "alphatab__guitarpro5__harmonics.gp5": {"note": (1, 1, TAPPED)},
    "pyguitarpro__Harmonics.gp5": {"note": (1, 1, TAPPED)},
    "alphatab__visual-tests__numbered.gp": {"note": (7, 7, BELOW_THE_STRING)},
    "alphatab__visual-tests__tuplets.gp": {"note": (1, 1, TUPLET_DRIFT), "end": (2, 2, TUPLET_DRIFT)},
    "pyguitarpro__Duration.gp3": {"end": (1, 1, TUPLET_DRIFT)},
}
VIBRATO = {
    "alphatab__guitarpro3__effects.gp3": 2,
    "alphatab__guitarpro3__vibrato.gp3": 4,
    "pyguitarpro__Effects.gp3": 1,
}
for _name, _count in VIBRATO.items():
    NAMED.setdefault(_name, {})["vibrato"] = (0, _count, OF_THE_BEAT)

# What named differences keep below 99 %, as few notes have it at all: (version, effect).
BELOW = {(3, "vibrato")}
# Effects that a version cannot say, or that no fixture of it has.
NOT_THERE = {
    (3, "palmMute"),
    (3, "slideIn"),
    *((version, "pickSlide") for version in (3, 4, 5, 6, 8)),
    (8, "letRing"),
    (8, "palmMute"),
}


def measured(shared_data: Path) -> tuple[dict[int, Tally], dict[str, dict[str, tuple[int, int]]], int]:
    """Tallies by version, differences by file and effect, and how many fixtures there are."""
    tallies: dict[int, Tally] = defaultdict(Tally)
    differing: dict[str, dict[str, tuple[int, int]]] = {}
    n_files = 0
    for name, path, golden in fixtures(shared_data):
        n_files += 1
        score = read(path)
        assert len(score.tracks) == len(golden["tracks"]), name
        tally = compare(path, golden, score)
        tallies[version_of(path)] += tally
        found = {
            effect: (tally.missing[effect], tally.extra[effect])
            for effect in (*tally.missing, *tally.extra)
            if tally.missing[effect] or tally.extra[effect]
        }
        if found:
            differing[name] = found
    return tallies, differing, n_files


def test_every_effect_of_every_version(shared_data: Path) -> None:
    tallies, differing, n_files = measured(shared_data)
    assert n_files == 302
    named = {name: {effect: row[:2] for effect, row in rows.items()} for name, rows in NAMED.items()}
    assert differing == named
    assert sorted(tallies) == [3, 4, 5, 6, 7, 8]
    below, absent = set(), set()
    for version, tally in tallies.items():
        for effect in ("note", "end", *NOTE_EFFECTS, *SCORE_EFFECTS):
            both = tally.both[effect]
            if not both + tally.missing[effect] + tally.extra[effect]:
                absent.add((version, effect))
            elif both < 0.99 * (both + max(tally.missing[effect], tally.extra[effect])):
                below.add((version, effect))
    assert below == BELOW
    assert absent == NOT_THERE


def test_heads_agree(shared_data: Path) -> None:
    """Titles, tracks, programs, tunings, capos and the first tempo."""
    seen: Counter[str] = Counter()
    for name, path, golden in fixtures(shared_data):
        score = read(path)
        assert (score.title, score.composer) == (golden["title"], golden["artist"]), name
        assert score.tempos[0].quarters_per_minute == golden["tempo"], name
        assert score.length_ticks >= golden["bars"][-1]["start"], name
        for ours, theirs in zip(score.tracks, golden["tracks"], strict=True):
            assert (ours.name, ours.is_drums) == (theirs["name"], theirs["percussion"]), name
            if not ours.is_drums:
                assert ours.program == theirs["program"], name
                assert list(ours.tuning) == theirs["staves"][0]["tuning"], name
                assert ours.capo_fret == theirs["staves"][0]["capo"], name
            seen[path.suffix] += 1
    assert seen[".gpx"] > 40
    assert seen[".gp"] > 300


def table(shared_data: Path) -> str:
    """Precision and recall as text."""
    tallies, _, _ = measured(shared_data)
    lines = []
    for version, tally in sorted(tallies.items()):
        for effect in ("note", "end", *NOTE_EFFECTS, *SCORE_EFFECTS):
            both, missing, extra = tally.both[effect], tally.missing[effect], tally.extra[effect]
            if both + missing + extra:
                precision, recall = (both / max(both + other, 1) for other in (extra, missing))
                lines.append(f"{version} {effect:10} {both:6} both, precision {precision:7.2%}, recall {recall:7.2%}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
