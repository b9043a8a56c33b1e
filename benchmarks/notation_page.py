"""Result and page of the notation table, from the cells that stand; see :mod:`benchmarks.notation_table`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import notation_music as music
from benchmarks import notation_table as table
from benchmarks.notation_cells import ABSENT, Cell, cells
from benchmarks.notation_texts import CUT_BARS, MOST_TOKENS, Texts
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.metrics.statistics import binomial_interval, bootstrap, detectable, holm, ratio, sign_flip

ROOT = Path(__file__).parents[1]
RESULT, PAGE = ROOT / "benchmarks/results/notation_table.json", ROOT / "docs/notations-compared.md"
LEVEL = 0.05
Floats = NDArray[np.float64]

WHAT = {
    "rep_1_bars": "bars said before",
    "rep_r_bars": "bars in repeated pairs",
    "loop_bars": "longest loop, bars",
    "scale_consistency": "notes in one scale",
    "pitch_class_entropy": "pitch-class entropy, bits",
    "groove_consistency": "groove consistency",
}


def write(out: Path, train: Texts, held: Texts) -> None:
    """Measure all cells that stand, write the result and the page."""
    found = measured(out, train, held)
    music.write_json(RESULT, found)
    write_atomically(PAGE, page(found).encode())
    print(f"{RESULT}\n{PAGE}", flush=True)


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────


def measured(out: Path, train: Texts, held: Texts) -> dict[str, Any]:
    """What is written to the result."""
    notes = np.array([one.score.n_notes for one in held.excerpts], float)
    stand: dict[str, dict[str, Any]] = {}
    for cell in cells():
        path = out / cell.slug / "result.json"
        if path.is_file():
            stand[cell.name] = json.loads(path.read_bytes())
    reference = cells()[0].name
    human = [table.figures(one.score) for one in held.excerpts[: table.N_SAMPLES]]
    rows: dict[str, dict[str, Any]] = {}
    for cell in cells():
        if cell.name in stand:
            rows[cell.name] = _row(cell, stand[cell.name], notes, train, human)
    if reference in stand:
        _against(reference, rows, stand, notes)
    trained = next(iter(stand.values()))["training"] if stand else {}
    return {
        "training music": music.described(train.excerpts),
        "held-out music": music.described(held.excerpts),
        "notes as they stand in the held-out texts": int(notes.sum()),
        "reference": reference,
        "cells": rows,
        "not run": [cell.name for cell in cells() if cell.name not in stand],
        "not there": ABSENT,
        "human": _figures(human),
        "continuations": {"n": table.N_SAMPLES, "top_p": table.TOP_P, "temperature": 1.0},
        "recipe": trained.get("recipe"),
        "tokens": trained.get("tokens"),
        "asked_tokens": trained.get("asked_tokens"),
        "context_tokens": MOST_TOKENS,
        "tests": "sign flips of paired differences per work, two-sided, corrected by Holm over the cells of the table",
        "versions": versions(),
    }


def _row(
    cell: Cell, result: dict[str, Any], notes: Floats, train: Texts, human: Sequence[dict[str, float]]
) -> dict[str, Any]:
    bits = np.array(result["bits"])
    valid = [one["valid"] for one in result["continuations"]]
    interval = binomial_interval(sum(valid), len(valid))
    faults = Counter(
        "no end within the context" if not one["ended"] else one["fault"].partition(", found ")[0]
        for one in result["continuations"]
        if not one["valid"]
    )
    faulty = [one["faulty_bars"] for one in result["continuations"] if one.get("faulty_bars") is not None]
    written = result["guided"] or []
    training = {name: value for name, value in result["training"].items() if name != "recipe"}
    told = sum(len(tokens) + 2 for tokens in train.tokens[cell.name])
    n_train = sum(one.score.n_notes for one in train.excerpts)
    return {
        "bits_per_note": bootstrap(bits[:, 0], notes, statistic=ratio).record(),
        "bits_per_note_of_velocity": bootstrap(bits[:, 1], notes, statistic=ratio).record() if cell.loud else None,
        "tokens_per_note": float(bits[:, 2].sum() / notes.sum()),
        "bits_per_token": float(bits[:, :2].sum() / bits[:, 2].sum()),
        "notes_learned_from": round(training["tokens"] / told * n_train * training["filled"]),
        "valid": {"share": sum(valid) / len(valid), "low": interval.low, "high": interval.high, "n": len(valid)},
        "read": sum(one["read"] for one in result["continuations"]) / len(valid),
        "faulty_bars": bootstrap(faulty).record() | {"n": len(faulty)} if len(faulty) > 1 else None,
        "faults": dict(faults.most_common(4)),
        "n_guided": sum(bool(one) for one in written) if written else None,
        "figures": _figures(written),
        "figures_against_human": _paired(written, human[: len(written)]),
        "training": training,
    }


def _figures(found: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Mean and interval over works of each figure, where it is defined."""
    out = {}
    for name in table.FIGURES:
        values = [one[name] for one in found if name in one]
        if len(values) > 1:
            out[name] = bootstrap(values).record() | {"n": len(values)}
    return out


def _paired(written: Sequence[dict[str, float]], human: Sequence[dict[str, float]]) -> dict[str, Any]:
    """What was written less the human excerpt that it was begun with, over those that could be read."""
    out = {}
    for name in table.FIGURES:
        differences = [a[name] - b[name] for a, b in zip(written, human, strict=True) if name in a and name in b]
        if len(differences) > 5:
            out[name] = bootstrap(differences).record() | {"n": len(differences), "p": sign_flip(differences)}
    return out


def _against(reference: str, rows: dict[str, Any], stand: dict[str, Any], notes: Floats) -> None:
    """Adds to each row its difference from the reference; p corrected over all cells but the reference's repeats."""
    base = np.array(stand[reference]["bits"])[:, 0]
    names = [name for name in rows if name != reference]
    compared = [name for name in names if "seed" not in name]
    p: dict[str, float] = {}
    for name in names:
        difference = np.array(stand[name]["bits"])[:, 0] - base
        each = difference / notes.mean()  # their mean is the difference of the two ratios
        p[name] = float(sign_flip(each))
        rows[name]["difference"] = bootstrap(difference, notes, statistic=ratio).record() | {
            "p": p[name],
            "detectable": detectable(each),
        }
    for name, corrected in zip(compared, holm([p[name] for name in compared]).tolist(), strict=True):
        rows[name]["difference"]["p_holm"] = corrected


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────


def page(found: dict[str, Any]) -> str:
    """The page, in Markdown."""
    rows = found["cells"]
    train, held = found["training music"], found["held-out music"]
    any_row = next(iter(rows.values()))
    return "\n".join(
        [
            "# Notations compared",
            "",
            "Written by `python -m benchmarks.notation_table --corpus CORPUS --out RUNS --report`; do not edit.",
            f"The cells were trained with `--tokens {found['asked_tokens']}`.",
            "Without `--report` the same command prepares the music, trains and judges every cell that does not stand",
            "yet, and writes this page; CORPUS is `cadenza corpus build DATA … -o CORPUS`.",
            "",
            "Which way of telling music does a small model learn best? Simplified MIDI, DadaGP and ABC; tracks "
            "`interleaved` on one time line or one `by track`; the fields of a note `joint`, or `split` into streams "
            "(bar by bar the rhythm first, then pitches, then velocities); with or without velocities.",
            "",
            f"Every cell is a decoder of {any_row['training']['parameters']:,} parameters (to a tenth of a percent), "
            f"trained once from random weights on {found['tokens']:,} tokens in rows of {found['context_tokens']}: the "
            "same parameters and the same number of tokens are the same arithmetic. The recipe is that of "
            "`scratch-small`, chosen before and tuned for no cell. How much music a cell sees in its tokens is a "
            "property of its notation, and part of what is compared.",
            "",
            f"Music: {train['excerpts']:,} excerpts ({train['notes']:,} notes) of the training works, "
            f"{held['excerpts']} held-out works with one excerpt each ({held['notes']:,} notes; nothing was chosen on "
            f"them): {_sources(held)}. Excerpts are up to {music.BARS} bars, {CUT_BARS} where {music.BARS} are too "
            "long for some cell's context, in the fields that all three notations keep, so thin textures prevail: "
            "excerpts of which DadaGP's strings cannot play nine notes of ten are not in it, and dense drums do not "
            "fit ABC into the context. Every cell tells the very same notes.",
            "",
            *_bits(found),
            *_velocities(found),
            *_validity(found),
            *_music(found),
            *_conclusions(found),
        ]
    )


def _sources(described: dict[str, Any]) -> str:
    return ", ".join(f"{one['excerpts']} of {name}" for name, one in described["by source"].items())


def _bits(found: dict[str, Any]) -> list[str]:
    out = [
        "## Bits per note on the common fields",
        "",
        "−log2 p of whole texts (header, metre, instruments, end) over their notes; where velocities are told, of all "
        "other tokens, given the velocities so far. Interval: 95 %, bootstrap over works. The difference is paired, "
        "work by work, with the first row; its p is Holm's over all rows. **Bold**: below 0.05.",
        "",
        "| cell | bits per note | less the first row | p | tokens per note | notes seen in training |",
        "|---|---|---|---|---|---|",
    ]
    first = found["reference"]
    names = sorted(found["cells"], key=lambda name: (name != first, found["cells"][name]["bits_per_note"]["value"]))
    out += [_bits_row(name, found["cells"][name]) for name in names]
    return [*out, "", *_not_there(found)]


def _bits_row(name: str, row: dict[str, Any]) -> str:
    difference = row.get("difference")
    said, p = "the reference", ""
    if difference is not None:
        said, corrected = _interval(difference, "+.3f"), difference.get("p_holm")
        p = f"{corrected:.4f}" if corrected is not None else f"({difference['p']:.4f}, one of chance)"
        said = f"**{said}**" if corrected is not None and corrected < LEVEL else said
    bits, seen = _interval(row["bits_per_note"], ".3f"), f"{row['notes_learned_from']:,}"
    return f"| {name} | {bits} | {said} | {p} | {row['tokens_per_note']:.2f} | {seen} |"


def _not_there(found: dict[str, Any]) -> list[str]:
    out = ["Not in the table:", "", *(f"- {what}: {why}." for what, why in found["not there"].items())]
    if found["not run"]:
        out += [f"- not run: {'; '.join(found['not run'])}."]
    return [*out, ""]


def _velocities(found: dict[str, Any]) -> list[str]:
    rows = [(name, row) for name, row in found["cells"].items() if row["bits_per_note_of_velocity"] is not None]
    if not rows:
        return []
    return [
        "### What velocities cost",
        "",
        "Bits per note of the tokens that say velocities (eight levels). Added to the figure above they are the code "
        "of notes and velocities together, which is an upper bound for that of the notes alone.",
        "",
        "| cell | of velocities | together |",
        "|---|---|---|",
        *(
            f"| {name} | {_interval(row['bits_per_note_of_velocity'], '.3f')} | "
            f"{row['bits_per_note']['value'] + row['bits_per_note_of_velocity']['value']:.3f} |"
            for name, row in rows
        ),
        "",
    ]


def _validity(found: dict[str, Any]) -> list[str]:
    n = found["continuations"]["n"]
    out = [
        "## Valid without the grammar",
        "",
        f"{n} continuations a cell, each of the first quarter of a held-out text's tokens, at temperature 1 and top-p "
        f"{found['continuations']['top_p']}, to the end token; one that has not ended when the context is full counts "
        "as not valid. Valid is what the notation's automaton reads to an end (bars must add up) and its strict reader "
        "takes; interval: Clopper and Pearson, 95 %. Read is what the reader alone takes: ABC's minds no bar that is "
        "too long or short, as ABC programs do not, for the others it is the same. Faulty bars: the share of a text's "
        "bars that the automaton refuses when it goes on behind each (mean over texts; by-track ABC has no place where "
        "a bar could be left out). Split streams of ABC and DadaGP are put together first; marks that do not agree "
        "spoil a whole text.",
        "",
        "| cell | valid | read | faulty bars | most frequent faults: what was expected |",
        "|---|---|---|---|---|",
    ]
    for name, row in found["cells"].items():
        valid = row["valid"]
        faults = "; ".join(
            f"{what.removeprefix('expected ')[:70]} ({n})" for what, n in list(row["faults"].items())[:2]
        )
        cells_ = f"{valid['share']:.2f} ({valid['low']:.2f} … {valid['high']:.2f})"
        bars = _interval(row["faulty_bars"], ".2f") if row["faulty_bars"] else "–"
        out.append(f"| {name} | {cells_} | {row['read']:.2f} | {bars} | {faults.replace('|', chr(92) + '|') or '–'} |")
    return [*out, ""]


def _music(found: dict[str, Any]) -> list[str]:
    names = [name for name in table.FIGURES if name in found["human"]]
    out = [
        "## Repetition, key, groove",
        "",
        "The same continuations once more, under the notation's grammar, so that all can be read (but those that had "
        "not ended when the context was full; n is what is left), the given first quarter included, with the human "
        "excerpts that were begun. Split streams of ABC and DadaGP have no grammar here. **Bold** where the paired "
        "difference from the human excerpts has p < 0.05 after Holm's correction over the "
        "column: a figure apart from human music, in either direction, is a fault.",
        "",
        "| cell | n | " + " | ".join(WHAT[name] for name in names) + " |",
        "|---|---|" + "---|" * len(names),
        "| human | " + str(max(found["human"][name]["n"] for name in names)) + " | "
        + " | ".join(f"{found['human'][name]['value']:.3f}" for name in names) + " |",
    ]  # fmt: skip
    corrected: dict[tuple[str, str], float] = {}
    for name in names:
        rows = [(cell, row["figures_against_human"][name]["p"]) for cell, row in found["cells"].items()
                if name in row["figures_against_human"]]  # fmt: skip
        if rows:
            for (cell, _), p in zip(rows, holm([p for _, p in rows]).tolist(), strict=True):
                corrected[cell, name] = p
    for cell, row in found["cells"].items():
        if row["n_guided"] is None:
            continue
        said = []
        for name in names:
            figure = row["figures"].get(name)
            text = f"{figure['value']:.3f}" if figure else "–"
            said.append(f"**{text}**" if corrected.get((cell, name), 1.0) < LEVEL else text)
        out.append(f"| {cell} | {row['n_guided']} | {' | '.join(said)} |")
    return [*out, ""]


def _conclusions(found: dict[str, Any]) -> list[str]:
    rows, reference = found["cells"], found["reference"]
    compared = {name: row for name, row in rows.items() if "p_holm" in row.get("difference", {})}
    better = [name for name, row in compared.items()
              if row["difference"]["p_holm"] < LEVEL and row["difference"]["value"] < 0]  # fmt: skip
    worse = [name for name, row in compared.items()
             if row["difference"]["p_holm"] < LEVEL and row["difference"]["value"] > 0]  # fmt: skip
    same = [name for name in compared if name not in better and name not in worse]
    best = min(rows, key=lambda name: rows[name]["bits_per_note"]["value"])
    out = ["## What it says", "", f"- Fewest bits per note: **{best}**."]
    out.append(f"- Better than the reference ({reference}): {_named(better)}.")
    out.append(f"- Not told apart from it: {_named(same)}. A mean difference of "
               f"{_detectable(compared, same)} would have been found in four of five such tables.")  # fmt: skip
    out.append(f"- Worse: {_named(worse)}.")
    seeds = [row["difference"]["value"] for name, row in rows.items() if "seed" in name and "difference" in row]
    if seeds:
        said = ", ".join(f"{value:+.3f}" for value in seeds)
        out.append(f"- The reference with other random weights differs by {said} bits per note: intervals over works "
                   "say nothing of that, and a difference of up to about twice this size is none, "
                   "whatever its p.")  # fmt: skip
    for text in factors(rows):
        out.append(f"- {text}")
    out += [
        "",
        f"What it cannot say: models of this size, trained for {_seconds(rows)} of one processor core, have learned "
        "little (hardly a free continuation is valid: that column compares nothing); a notation that needs more "
        "tokens a note sees less music for the same arithmetic, which a longer training would even out in part. One "
        "recipe serves all cells. Strings, bends and techniques, which DadaGP alone tells, and controllers are not in "
        "the common fields, so nothing is said of their worth. By-track texts and streams need a long memory, which "
        "an excerpt of eight bars hardly asks for. Continuations are of texts: in a by-track text what is given is the "
        "first tracks, not the first bars.",
        "",
    ]
    return out


def _seconds(rows: dict[str, Any]) -> str:
    """What the cells that ran through without a stop took to train."""
    found = [row["training"]["cpu_seconds"] for row in rows.values() if row["training"]["cpu_seconds"]]
    return f"{min(found):.0f} to {max(found):.0f} s" if found else "so long"


def factors(rows: dict[str, Any]) -> list[str]:
    """Each choice, over the pairs of cells that differ in it alone: the mean difference in bits per note."""
    out = []
    values = {name: row["bits_per_note"]["value"] for name, row in rows.items() if "seed" not in name}
    for a, b, says in (
        ("interleaved", "by track", "by track less interleaved"),
        (", joint,", ", split,", "split less joint"),
        (", no velocity", ", velocity", "velocities told (their own bits aside) less not told"),
    ):
        pairs = [(name, name.replace(a, b)) for name in values if a in name and name.replace(a, b) in values]
        if pairs:
            each = [values[other] - values[name] for name, other in pairs]
            said = "; ".join(f"{name.replace(a, ' … ') if a[0] != ',' else name}: {d:+.3f}"
                             for (name, _), d in zip(pairs, each, strict=True))  # fmt: skip
            out.append(f"{says}: {np.mean(each):+.3f} bits per note in the mean of {len(pairs)} pairs ({said}).")
    return out


def _named(names: Sequence[str]) -> str:
    return "; ".join(names) if names else "none"


def _detectable(compared: dict[str, Any], same: Sequence[str]) -> str:
    found = [compared[name]["difference"]["detectable"] for name in same or compared]
    return f"{max(found):.2f} bits per note" if found else "–"


def _interval(record: dict[str, float], form: str) -> str:
    return f"{record['value']:{form}} ({record['low']:{form}} … {record['high']:{form}})"
