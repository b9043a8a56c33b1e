"""How well the notator reads performances: tempo, metre, key, bars and note values of works that it never saw.

    python -m benchmarks.notator --data DIR | --pieces STORE --out FILE.json [--n 0] [--font FONT.sf2 --audio 6]

Works are the test and validation splits of the ear's data (neither was looked at while the notator was made; the
weights come from the training split, ``benchmarks/notator_train.py``), as :mod:`benchmarks.notator_data` takes them.
Each is played with a swaying tempo, (a) exactly heard, (b) with 5 % of the notes inserted, 5 % missing, 2 % an octave
off and onsets off by 20 ms (standard deviation). ``--audio`` renders some and goes through the ear.

Tempo: the quarters a minute that are written against those that were played, over all; "octave": half or double too.
Metre: exactly the written one; "majority" is what always answering the training split's commonest would reach. Key:
the signature of works that keep one (exact or relative key), "mode" too where it is right. Downbeats: bar lines within
100 ms, of sources that say their upbeats. ``mv2h_like``: :mod:`cadenza.metrics.score_quality`, the page moved by whole
quarters to where most onsets meet ("aligned"), and as it is. Bars: of the page in ABC, those that add up. ``--choice``
judges the choice among readings alone, without writing pages.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.notator_data import NOISY, NOISY_SHIFT_SECONDS, Errors, Played, Work, played, works
from benchmarks.notator_train import downbeats
from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.infer.notator import beats, keys, metre, notate
from cadenza.infer.notator.events import events_of, played_notes
from cadenza.metrics.score_quality import METRIC as QUALITY
from cadenza.metrics.syntax import bar_faults
from cadenza.notation.abc import Abc
from cadenza.score.model import BarMark, Score, Track
from cadenza.score.time import bar_table

NEAR = 0.04
SEED = 20
CONDITIONS: dict[str, tuple[Errors, float]] = {
    "exact": (Errors(), 0.0), "noisy": (NOISY, NOISY_SHIFT_SECONDS),
}  # fmt: skip
Row = dict[str, float]


def judged(work: Work, truth: Played, page: Score) -> Row:
    """All figures of one page."""
    span = float(truth.bars_seconds[-1] - truth.bars_seconds[0])
    tempo = written_tempo(page)
    ratio = tempo / truth.quarters_a_minute
    row = {
        "tempo": float(abs(ratio - 1) <= NEAR),
        "tempo or octave": float(min(abs(ratio * f - 1) for f in (0.5, 1, 2)) <= NEAR),
        "metre": float((page.metres[0].numerator, page.metres[0].denominator) == work.metre),
        "tempos written": float(len(page.tempos)), "seconds": span,
    }  # fmt: skip
    signatures = {key.fifths for key in work.score.keys}
    if len(signatures) == 1 and page.keys:
        right = page.keys[0].fifths == work.score.keys[0].fifths
        row["key or relative"] = float(right)
        row["key"] = float(right and page.keys[0].mode == work.score.keys[0].mode)
    quality = QUALITY.compute(ref=work.score, est=page)
    row |= {"as it is mv2h_like": quality["mv2h_like"]}
    quality = QUALITY.compute(ref=work.score, est=aligned(work.score, page))
    row |= {name: quality[name] for name in ("mv_pitch", "mv_voice", "mv_metre", "mv_value", "mv_harmony", "mv2h_like")
            if name in quality}  # fmt: skip
    faults, _, n_bars = bar_faults(Abc().encode(page), Abc())
    row |= {"bars": n_bars, "bars that add up": n_bars - faults}
    return row


def written_tempo(page: Score) -> float:
    """Quarter notes a minute over all."""
    ends = [tempo.onset_ticks for tempo in page.tempos[1:]] + [max(page.length_ticks, page.tempos[-1].onset_ticks + 1)]
    seconds = sum(
        (end - tempo.onset_ticks) / page.ticks_per_quarter * 60 / tempo.quarters_per_minute
        for tempo, end in zip(page.tempos, ends, strict=True)
    )
    return 60 * ends[-1] / page.ticks_per_quarter / seconds


def aligned(ref: Score, est: Score) -> Score:
    """``est`` moved by whole quarters and eighths (its bars with it) to where most notes meet ``ref``'s."""

    def places(score: Score) -> Counter[tuple[int, int]]:
        return Counter(
            (round(int(n["onset_ticks"]) * 12 / score.ticks_per_quarter), int(n["pitch"]))
            for track in score.tracks for n in track.notes
        )  # fmt: skip

    truth, answer = places(ref), places(est)
    early = Counter({place: count for place, count in answer.items() if place[0] < 12 * 64})
    quarters = bar_table(est)
    length = int(quarters.ends_ticks[-1] - quarters.starts_ticks[-1])
    reach = max(1, round(length / est.ticks_per_quarter)) * 12
    best = max(
        range(-reach, reach + 1, 6),
        key=lambda step: (sum(min(c, truth[at + step, p]) for (at, p), c in early.items()), -abs(step)),
    )
    shift = best * est.ticks_per_quarter // 12
    if not shift:
        return est
    if shift < 0:
        first = min((int(track.notes["onset_ticks"].min()) for track in est.tracks if len(track)), default=0)
        shift = -min(-shift, first)
        if not shift:
            return est
    table = bar_table(est)
    lines = sorted({int(at) + shift for at in table.starts_ticks} | {0})

    def moved(track: Track) -> Track:
        notes = track.notes.copy()
        notes["onset_ticks"] += shift
        return replace(track, notes=notes, controls=track.controls[:0])

    bars = tuple(BarMark(at) for at in lines if at > 0)
    return replace(est, tracks=tuple(map(moved, est.tracks)), bars=bars, length_ticks=max(0, est.length_ticks + shift))


def read_by(work: Work, truth: Played, learned: Row) -> Row:
    """What the rules say of tempo, metre and key (profiles alone); what the shipped choice says goes to ``learned``."""
    notes = played_notes(truth.performance)
    events = events_of(notes)
    pulses = beats.track(events)
    found = metre.readings(pulses)
    rows = metre.table(found, pulses, notes, events)
    for name, value in _choice(found[int(metre.shipped()(rows).argmax())], pulses, work, truth).items():
        learned.setdefault(name, value)
    row = _choice(found[int(metre.by_rules(rows).argmax())], pulses, work, truth)
    if len({key.fifths for key in work.score.keys}) == 1:
        profile = int(keys.features(notes)[:, 0].argmax())
        row["key or relative"] = float(keys.signature(profile) == work.score.keys[0].fifths)
    return row


def _choice(best: metre.Reading, pulses: Sequence[beats.Pulse], work: Work, truth: Played) -> Row:
    """How right one reading is."""
    seconds = pulses[best.pulse].seconds
    ratio = 60 * best.beat_quarters * (len(seconds) - 1) / float(seconds[-1] - seconds[0]) / truth.quarters_a_minute
    row = {
        "tempo": float(abs(ratio - 1) <= NEAR),
        "tempo or octave": float(min(abs(ratio * f - 1) for f in (0.5, 1, 2)) <= NEAR),
        "metre": float(best.metre == work.metre),
    }
    if work.says_bars:
        row["downbeats"] = downbeats(best, list(pulses), truth)
    if not row["metre"]:
        row[f"{work.metre[0]}/{work.metre[1]} → {best.metre[0]}/{best.metre[1]}"] = 1.0
    return row


def means(rows: Sequence[Row]) -> dict[str, Any]:
    """Means over works (bars: over all bars)."""
    out: dict[str, Any] = {"works": len(rows)}
    for name in {name: None for row in rows for name in row if "→" not in name}:
        values = [row[name] for row in rows if name in row]
        if name not in ("bars", "bars that add up"):
            out[name] = round(float(np.mean(values)), 4)
    if rows and "bars" in rows[0]:
        n_bars = sum(row["bars"] for row in rows)
        out["bars"] = int(n_bars)
        out["bars that add up"] = round(sum(row["bars that add up"] for row in rows) / n_bars, 4)
    return out


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    found = works(options.data, options.pieces, options.splits.split(","))
    if options.n:
        found = [found[i] for i in np.random.default_rng(SEED).permutation(len(found))[: options.n]]
    commonest = (4, 4)
    counts = Counter(work.metre for work in found)
    result: dict[str, Any] = {
        "splits": options.splits, "works": len(found), "sources": dict(Counter(work.source for work in found)),
        "metres": {f"{top}/{bottom}": n for (top, bottom), n in counts.most_common()},
        "majority metre": round(counts[commonest] / len(found), 4), "versions": versions(),
    }  # fmt: skip
    for name, (errors, shift) in CONDITIONS.items():
        rows: list[Row] = []
        rules: list[Row] = []
        by_source: dict[str, list[Row]] = defaultdict(list)
        wrong: Counter[str] = Counter()
        spent = 0.0
        for number, work in enumerate(found):
            truth = played(work, np.random.default_rng([SEED, number]), errors, shift)
            row: Row = {}
            try:
                if not options.choice:
                    begun = time.process_time()
                    page = notate(truth.performance)
                    spent += time.process_time() - begun
                    row = judged(work, truth, page)
                rules.append(read_by(work, truth, row))
            except CadenzaError as error:
                print(work.name, error)
                raise
            rows.append(row)
            by_source[work.source].append(row)
            wrong.update(name for name in row if "→" in name)
        result[name] = {
            "learned": means(rows), "rules": means(rules), "wrong metres": dict(wrong.most_common(8)),
            "by source": {source: means(some) for source, some in by_source.items()},
        }  # fmt: skip
        if not options.choice:
            result[name]["CPU seconds a minute of music"] = round(60 * spent / sum(row["seconds"] for row in rows), 3)
        print(
            name,
            json.dumps(result[name]["learned"]),
            json.dumps(result[name]["rules"]),
            wrong.most_common(5),
            flush=True,
        )
        write_atomically(options.out, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    if options.audio:
        result["audio"] = through_the_ear(found, options)
        print(json.dumps(result["audio"]))
    return result


def through_the_ear(found: Sequence[Work], options: argparse.Namespace) -> dict[str, Any]:
    """The same figures of works that were rendered and heard."""
    from cadenza.formats import wav
    from cadenza.infer.transcribe import transcribe
    from cadenza.model.ear import Ear

    ear = Ear(None, threads=1, engine="onnxruntime")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "played.wav"
        for number, work in enumerate(found[:: max(1, len(found) // options.audio)][: options.audio]):
            truth = played(work, np.random.default_rng([SEED, number]), Errors(), 0.0)
            wav.write(truth.performance, path, **({"soundfont": options.font} if options.font else {}))
            heard = transcribe(path, ear, drums=False)
            rows.append(judged(work, truth, notate(heard.score)))
    return means(rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pieces", type=Path, help="a store of all pieces with their splits, instead of --data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--splits", default="test,validation")
    parser.add_argument("--n", type=int, default=0, help="so many works, drawn at random; 0: all")
    parser.add_argument("--choice", action="store_true", help="only tempo, metre and downbeats, of the reading chosen")
    parser.add_argument("--audio", type=int, default=0, help="so many works through the ear, too")
    parser.add_argument("--font", type=Path)
    options = parser.parse_args()
    result = measure(options)
    write_atomically(options.out, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())


if __name__ == "__main__":
    main()
