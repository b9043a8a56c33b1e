"""The page of benchmarks/loop_cures.py: every figure and every sentence about one comes from its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pages import interval, p_said, paragraph
from cadenza.base.files import write_atomically
from cadenza.train import reinforcement

CONTROL, BEFORE = "cross-entropy", "nothing"
FIGURES = {
    "rep_1_bars": "rep-1, bars", "rep_2_bars": "rep-2, bars", "rep_4_tokens": "rep-4, tokens",
    "loops": "ends in a loop", "unfinished": "no twelve bars",
}  # fmt: skip
DRAWN = (BEFORE, CONTROL, "ditto bar, copy 2, λ 0.5", "ditto phrase, copy 2, λ 0.5", "unlikelihood", "rebalanced")


def write(result: dict[str, Any], page: Path, drawing: Path) -> None:
    """The page and its drawing."""
    chosen = {way: curves_of(result["ways"][way]) for way in DRAWN if way in result["ways"]}
    write_atomically(drawing, (reinforcement.svg(chosen) + "\n").encode())
    write_atomically(page, text(result, drawing.name).encode())


def curves_of(row: dict[str, Any]) -> reinforcement.Curves:
    """A row's curves."""
    found = row["curves"]
    tp, ip, wr = (np.array(found[name]) for name in ("tp", "ip", "wr"))
    return reinforcement.Curves(tp, ip, wr, int(found["n_units"]))


def text(result: dict[str, Any], svg: str) -> str:
    """The page as Markdown."""
    ways, plant = result["ways"], result["plant"]
    n_copies = len(next(iter(ways.values()))["curves"]["tp"])
    lines = [
        "# Loops: what cures them",
        "",
        "<!-- Written by benchmarks/loop_cures.py: do not edit. -->",
        "",
        paragraph(
            """A model that decodes greedily falls into loops. Three cures at training time, from one checkpoint, with
            the same number of steps, beside the same steps without a cure. Music repeats on purpose, so the aim is the
            held-out music's own repetition, not none; and a cure that costs bits per note is a bad one."""
        ),
        "",
        paragraph(
            f"""The checkpoint: 2.6 million parameters from random weights, {plant["steps"]} steps of
            {plant["step_tokens"]:,} tokens ([scratch or fine-tune](scratch-or-fine-tune.md), “{plant["cell"]}”): far
            from trained out. Each way goes on for {result["steps"]} steps with a fresh optimiser,
            {result["optimiser"]} at {result["learning_rate"]:g} (the checkpoint: Muon at 0.02). DITTO takes half of the
            steps, by draw{turns_said(ways)}: unit a bar, or a phrase of two to four; penalised from the second or the
            third copy; λ 0.5 or 0.9. “rebalanced” merges pairs that follow with a probability above 0.1. One training
            each: intervals are over works."""
        ),
        "",
        f"    {result['command']} --data DATA --work DIR",
        "",
        "## Likelihood",
        "",
        paragraph(
            f"""{result["works"]} held-out works; 95 % by bootstrap over works. “Against the control” is how many fewer
            bits than cross-entropy, paired by work, in %: less than nought is a cost."""
        ),
        "",
        "| | bits per note | against the control | tokens a note |",
        "|---|---|---|---|",
    ]
    for way, row in ways.items():
        gain = row.get("fewer_bits_than_control")
        beside = "" if gain is None else interval(gain, 1, 100, "+")
        lines.append(f"| {way} | {interval(row['bits_per_note'])} | {beside} | {row['tokens_per_note']:.2f} |")
    for decoding in next(iter(ways.values()))["continuations"]:
        lines += ["", f"## Repetition, {decoding}", ""]
        if decoding == "greedy":
            told = f"""{result["seeds"]} held-out works, one passage each: {result["given_bars"]} bars given,
                {result["bars"]} asked for ({result["most_tokens"]} tokens at most), freely: no grammar, no guard. In
                brackets how many times the human figure. rep-4 in windows of 128 tokens; a loop is four copies of up
                to three bars, or of up to 64 tokens, at the end."""
            lines += [paragraph(told), ""]
        lines += ["| | " + " | ".join(FIGURES.values()) + " |", "|---" * (1 + len(FIGURES)) + "|"]
        lines.append("| human | " + " | ".join(value_said(result["human"][name], None) for name in FIGURES) + " |")
        for way, row in ways.items():
            found = row["continuations"][decoding]
            told_of = [value_said(found[name], result["human"][name]) for name in FIGURES]
            lines.append(f"| {way} | " + " | ".join(told_of) + " |")
    lines += [
        "",
        "## Self-reinforcement",
        "",
        f"![TP, IP and WR over the copies of a bar]({svg})",
        "",
        paragraph(
            f"""A bar of held-out music repeated {n_copies} times, teacher-forced: the mean probability of its tokens
            (TP), the share likelier than in the first copy (IP), and the share that is the likeliest as well (WR)."""
        ),
        "",
        f"| | TP, copy 1 | copy 2 | copy 4 | copy {n_copies} | IP, copy {n_copies} | WR, copy {n_copies} |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, row in ways.items():
        tp = row["curves"]["tp"]
        values = [tp[0], tp[1], tp[3], tp[-1], row["curves"]["ip"][-1], row["curves"]["wr"][-1]]
        lines.append(f"| {way} | " + " | ".join(f"{value:.2f}" for value in values) + " |")
    lines += other_rates(result)
    lines += ["", "## What follows", "", *(f"- {sentence}" for sentence in findings(result)), ""]
    if result["missing"]:
        lines += [f"Not trained (the command above does it): {'; '.join(result['missing'])}.", ""]
    return "\n".join(lines)


def other_rates(result: dict[str, Any]) -> list[str]:
    """The ways at other learning rates, beside those of the table."""
    if not result["other_rates"]:
        return []
    lines = [
        "",
        "## At other settings",
        "",
        paragraph(
            """From the same checkpoint. Muon makes each step equally long, however small a gradient is: several steps
            of DITTO in a row then undo what was learned, while as many of cross-entropy do no harm."""
        ),
        "",
        "| setting | | the cure's steps | bits per note | greedy: rep-4, tokens | greedy: loops | TP, last copy |",
        "|---|---|---|---|---|---|---|",
    ]
    for rate, ways in result["other_rates"].items():
        for way, row in ways.items():
            greedy = row["continuations"]["greedy"]
            told = [interval(row["bits_per_note"]), interval(greedy["rep_4_tokens"]), interval(greedy["loops"])]
            turns = f"{row['turns']} of {row['steps']}" if "turns" in row else f"0 of {row['steps']}"
            lines.append(f"| {rate} | {way} | {turns} | " + " | ".join(told) + f" | {row['curves']['tp'][-1]:.2f} |")
    return lines


def turns_said(ways: dict[str, Any]) -> str:
    """How many steps the draws gave it."""
    found = {f"{row['turns']} of {row['steps']}" for way, row in ways.items() if way.startswith("ditto")}
    return f" ({', '.join(sorted(found))})" if found else ""


def value_said(found: dict[str, float], human: dict[str, float] | None) -> str:
    """A figure, its interval, and how many times the human one."""
    said = interval(found)
    if human is None or not human["value"]:
        return said
    return f"{said} [{found['value'] / human['value']:.1f}×]"


def findings(result: dict[str, Any]) -> list[str]:
    """What the figures say of each way beside the control."""
    ways = result["ways"]
    if CONTROL not in ways:
        return ["The control is not trained yet: nothing can be said."]
    control = ways[CONTROL]
    out = []
    for way, row in ways.items():
        if way in (CONTROL, BEFORE):
            continue
        gain = row["fewer_bits_than_control"]
        if gain["low"] > 0:
            bits = f"{100 * gain['value']:.1f} % fewer bits per note"
        elif gain["high"] < 0:
            bits = f"{-100 * gain['value']:.1f} % more bits per note"
        else:
            bits = "no more and no fewer bits per note that these works show"
        mine, theirs = (one["continuations"]["greedy"] for one in (row, control))
        shown = "" if row["p_greedy_rep_4"] < 0.05 else ", which these works do not show to differ"
        rep = f"greedy rep-4 {mine['rep_4_tokens']['value']:.2f} for {theirs['rep_4_tokens']['value']:.2f}{shown}"
        loops = f"greedy loops {mine['loops']['value']:.0%} for {theirs['loops']['value']:.0%}"
        tp = f"TP at the last copy {row['curves']['tp'][-1]:.2f} for {control['curves']['tp'][-1]:.2f}"
        out.append(f"{way}: {bits}; {rep} (p {p_said(row['p_greedy_rep_4'])}, not corrected); {loops}; {tp}.")
    return out
