"""The page of benchmarks/listening.py: every figure and every sentence about one comes from its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.pages import paragraph
from cadenza.base.files import write_atomically

FIGURES = {"reward": "reward", "reward_notes": "notes, F1", "onset_f1": "onset F1", "mv2h_like": "MV2H-like",
           "abc_2024": "abc-2024", "valid": "valid"}  # fmt: skip
NAMED = {
    "raw": "random weights", "prior": "hears nothing (prior)", "sft": "SFT", "grpo": "SFT + GRPO", "ppo": "SFT + PPO",
    "grpo 1e-3": "SFT + GRPO, rate 1e-3",
    "rejection": "SFT + rejection sampling", "dpo": "SFT + DPO", "grpo abc-2024": "SFT + GRPO, reward abc-2024",
    "averaged": "SFT, GRPO and PPO averaged", "route a": "ear and notator (route A)",
}  # fmt: skip


def write(result: dict[str, Any], page: Path) -> None:
    """The page."""
    write_atomically(page, text(result).encode())


def text(result: dict[str, Any]) -> str:
    """The page as Markdown."""
    table, about = result["table"], result["about"]
    first = next(iter(table.values()))
    lines = [
        "# A model that listens",
        "",
        "<!-- Written by benchmarks/listening.py: do not edit. -->",
        "",
        paragraph(
            f"""A decoder of the shape `{about["shape"]}` learns to write ABC from what cadenza's ear hears (tower
            `{about["tower"]}`): {int(about["clips"]):,} clips of single voices, one or two bars, up to
            {float(about["seconds"]):g} seconds{_also(about)}. Judged on {first["clips"]} clips of {first["works"]} test
            works played with a soundfont that training never heard. 95 % intervals by bootstrap over works. Only
            `reward` was ever learned from: onset F1 (mir_eval, in seconds) and the MV2H-like figure were not."""
        ),
        "",
        "    python -m benchmarks.listening --corpus CORPUS --test-font FONT --work DIR",
        "",
    ]
    for how, said in (
        ("greedy", "The likeliest answer"),
        ("sampled", "Three answers drawn at temperature 1, their mean"),
    ):
        rows = {name: row[f"heard, {how}"] for name, row in table.items() if f"heard, {how}" in row}
        lines += [f"## {said}", "", f"| | {' | '.join(FIGURES.values())} |", "|---" * (len(FIGURES) + 1) + "|"]
        lines += [f"| {NAMED[name]} | {' | '.join(_told(row[key]) for key in FIGURES)} |" for name, row in rows.items()]
        if how == "sampled" and "best of 8" in table.get("sft", {}):
            best = table["sft"]["best of 8"]
            cells = [_told(best[key]) if key in best else "" for key in FIGURES]
            lines.append(f"| SFT, best of 8 by the reward | {' | '.join(cells)} |")
        lines.append("")
    lines += _without_sound(table) + _learned(table) + _averaged(result.get("averaged") or []) + _published(table)
    lines += _questions(result) + _voices(table, result.get("voices") or {}) + _families(table)
    lines += _classes(result.get("classes") or {})
    return "\n".join(lines)


def _also(about: dict[str, Any]) -> str:
    n = int(about.get("transposed", 0))
    return f", each {n} times more, transposed by up to five semitones" if n else ""


def _told(found: list[float]) -> str:
    value, low, high = found
    return f"{value:.2f} ({low:.2f} … {high:.2f})"


def _without_sound(table: dict[str, Any]) -> list[str]:
    names = [name for name in table if "silenced, greedy" in table[name]]
    if not names:
        return []
    lines = ["## Does it listen?", "", "Reward of the likeliest answer.", ""]
    lines += ["| | heard | sound zeroed | another clip's sound |", "|---|---|---|---|"]
    for name in names:
        cells = [_told(table[name][f"{sound}, greedy"]["reward"]) for sound in ("heard", "silenced", "swapped")]
        lines.append(f"| {NAMED[name]} | {' | '.join(cells)} |")
    return [*lines, ""]


def _learned(table: dict[str, Any]) -> list[str]:
    names = [name for name in table if "over sft" in table[name]]
    if not names:
        return []
    keys = [_column(key) for key in table[names[0]]["over sft"]]
    lines = ["## What learning from rewards added", "", "Differences from SFT, paired by clip.", ""]
    lines += [f"| | {' | '.join(keys)} |", "|---" * (len(keys) + 1) + "|"]
    for name in names:
        told = [f"{value:+.3f} ({low:+.3f} … {high:+.3f})" for value, low, high in table[name]["over sft"].values()]
        lines.append(f"| {NAMED[name]} | {' | '.join(told)} |")
    lines.append("")
    for name in names:
        gains = table[name]["over sft"]
        up = [_column(key) for key, (_, low, _) in gains.items() if low > 0]
        down = [_column(key) for key, (_, _, high) in gains.items() if high < 0]
        said = f"higher in {', '.join(up)}" if up else "higher in nothing"
        said += f", lower in {', '.join(down)}" if down else ""
        lines.append(f"- {NAMED[name]}: {said}; elsewhere no difference that these clips show.")
    return [*lines, ""]


def _column(key: str) -> str:
    """The name of a difference: greedy, onset_f1 → onset F1 (greedy)."""
    how, figure = key.split(", ")
    return f"{FIGURES[figure]} ({how})"


def _averaged(tried: list[dict[str, Any]]) -> list[str]:
    if not tried:
        return []
    about = f"""What several runs learned adds up, what each drifted cancels: shares of the weights of each, and the
        reward of answers to {tried[0]["validation clips"]} validation clips, by which the shares were chosen."""
    lines = ["### Weights averaged", "", paragraph(about), "", "| shares | greedy | sampled |", "|---|---|---|"]
    for one in tried:
        shares = ", ".join(f"{NAMED[name]} {share:.2f}" for name, share in one["shares"].items())
        lines.append(f"| {shares} | {one['greedy']:.3f} | {one['sampled']:.3f} |")
    return [*lines, ""]


def _published(table: dict[str, Any]) -> list[str]:
    rows = {
        name: row["published protocol, reward"] for name, row in table.items() if "published protocol, reward" in row
    }
    if not rows:
        return []
    lines = ["## The published protocol", "", "30 clips by 3 answers at temperature 1: reward.", "", "| | reward |"]
    return [*lines, "|---|---|", *(f"| {NAMED[name]} | {_told(found)} |" for name, found in rows.items()), ""]


def _questions(result: dict[str, Any]) -> list[str]:
    rows = {NAMED[name]: row["questions"] for name, row in result["table"].items() if row.get("questions")}
    probes = result.get("towers", {})
    if not rows and not probes:
        return []
    kinds = sorted({kind for row in rows.values() for kind in row} | {kind for row in probes.values() for kind in row})
    lines = [
        "## Questions", "",
        paragraph("""Share of right answers (tempo within 4 %, a relative key half, instruments by F1). Towers: what a
            ridge regression answers from means and maxima of the tower's features alone, on all 300 test clips."""),
        "", f"| | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|",
    ]  # fmt: skip
    for name, probe in probes.items():
        named = name if name == "commonest answer" else f"tower `{name}`"
        lines.append(f"| {named} | {' | '.join(f'{probe[kind]:.2f}' for kind in kinds)} |")
    for name, row in rows.items():
        lines.append(f"| {name} | {' | '.join(_told(row[kind]) if kind in row else '' for kind in kinds)} |")
    return [*lines, ""]


def _voices(table: dict[str, Any], said: dict[str, Any]) -> list[str]:
    rows = {name: row["voices"] for name, row in table.items() if "voices" in row}
    if not rows:
        return []
    columns = {**{key: FIGURES[key] for key in ("reward", "reward_notes", "onset_f1", "mv2h_like")},
               "reward_metre": "metre", "reward_key": "key", "pitches in order": "pitches in order"}  # fmt: skip
    lines = [
        "## One voice, and chords",
        "",
        "The likeliest answer; the last column is the F1 of the longest common",
        "",
    ]
    lines[-2] += " subsequence of pitches."
    for kind in ("one voice", "chords"):
        n = next(iter(rows.values()))[kind]["clips"]
        lines += [f"| {kind}, {n} clips | {' | '.join(columns.values())} |", "|---" * (len(columns) + 1) + "|"]
        for name, row in rows.items():
            lines.append(f"| {NAMED[name]} | {' | '.join(_told(row[kind][key]) for key in columns)} |")
        lines.append("")
    if said:
        about = f"""From what the ear heard `transcribe --route auto` takes
            {said["one voice"]["taken for one voice"]:.0%} of {said["one voice"]["clips"]} validation clips of one voice
            for such, and
            {said["chords"]["taken for one voice"]:.0%} of the {said["chords"]["clips"]} others."""
        lines += [paragraph(about), ""]
    return lines


def _families(table: dict[str, Any]) -> list[str]:
    names = [name for name in table if name in ("sft", "averaged", "route a")]
    kinds = sorted({kind for name in names for kind in table[name]["families"]})
    lines = ["## Family by family", "", "Onset F1 and MV2H-like figure of the likeliest answer.", ""]
    lines += [f"| | clips | {' | '.join(NAMED[name] for name in names)} |", "|---" * (len(names) + 2) + "|"]
    for kind in kinds:
        cells = []
        for name in names:
            row = table[name]["families"].get(kind)
            cells.append(f"{row['onset_f1'][0]:.2f}, {row['mv2h_like'][0]:.2f}" if row else "")
        n = max(table[name]["families"].get(kind, {}).get("clips", 0) for name in names)
        lines.append(f"| {kind} | {n} | {' | '.join(cells)} |")
    return [*lines, ""]


def _classes(found: dict[str, Any]) -> list[str]:
    if not found:
        return []
    about = f"""The first {found["seconds"]:g} seconds of {found["n"]} clips a class of `benchmarks/ear.py`, which begin
        anywhere and may have many voices: F1 of the longest common subsequence of pitches
        (`benchmarks/listening_classes.py`). The listener ({NAMED[found["run"]]}) learned single voices."""
    lines = ["## Beside route A on the classes of the ear's evaluation", "", paragraph(about), ""]
    lines += ["| | ear alone | ear and notator (route A) | listener (route B) |", "|---|---|---|---|"]
    for name, row in found["classes"].items():
        lines.append(f"| {name} | {' | '.join(_told(row[way]) for way in ('ear', 'route a', 'route b'))} |")
    return [*lines, ""]
