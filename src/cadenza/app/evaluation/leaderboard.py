"""A leaderboard: rows as JSON files in a folder, shown together only where they answer the same question.

A row is one system (a model under one decoding, a baseline, human music, a transcriber) with its figures, their
intervals, and the configuration and versions that they can be made again with. Rows compare where all of
:data:`SAME` agree; :func:`why_not` says in words what does not. Figures that others have published answer other
questions by nature and stand in a table of their own (:mod:`cadenza.app.evaluation.published`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from cadenza.app.evaluation import folder
from cadenza.base.errors import ConfigError, FormatError

SCHEMA = 1
KINDS = ("generation", "transcription")
#: What must agree for two rows to be compared: key → what it is in words.
SAME: Mapping[str, str] = {
    "kind": "task",
    "corpus_sha256": "corpus",
    "split": "split",
    "seeds_sha256": "seeds or references",
    "n_given": "bars given",
    "n_bars": "bars written",
    "random_seed": "random seed",
}
#: What must also agree for bits to be compared.
SAME_BITS: Mapping[str, str] = {"texts_sha256": "texts", "window_tokens": "window", "stride_tokens": "stride"}
_PLACES = ("corpus", "model", "adapter", "ref", "est")
_NEEDED = ("schema", "system", "is", "settings", "figures", "config", "versions")


def rows_of(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a generation report: one a system; the model's likelihood goes with each of its decodings."""
    config, likelihood = report["config"], report["likelihood"]
    settings = {
        "kind": "generation",
        **{key: report[key] for key in ("corpus_sha256", "seeds_sha256", "texts_sha256")},
        **{key: config[key] for key in ("split", "n_given", "n_bars", "random_seed", "common")},
        "n_seeds": report["n_seeds"],
        "window_tokens": report["window_tokens"],
        "stride_tokens": report["stride_tokens"],
    }
    out = []
    for name, found in report["systems"].items():
        is_model = name in config["decodings"]
        figures = {
            column: {**values, **{key: report["columns"][column][key] for key in ("metric", "better", "unit")}}
            for column, values in found["columns"].items()
        }
        for column, value in report["sets"].get(name, {}).items():
            declared = report["columns"][column]
            figures[column] = {
                "value": value, "low": None, "high": None, "n": report["n_seeds"],
                **{key: declared[key] for key in ("metric", "better", "unit")},
            }  # fmt: skip
        of = "model" if is_model else {"n-gram": "n-gram", "copy": "copying + n-gram"}.get(name, "")
        for column, values in likelihood["systems"].get(of, {}).items() if likelihood else ():
            figures[column] = {**values, "metric": "likelihood", "better": "lower", "unit": "bits"}
        out.append({
            "schema": SCHEMA,
            "system": report["model"]["name"] if is_model else name,
            "is": "model" if is_model else ("human" if name == "human" else "baseline"),
            "decoding": name if is_model else "",
            "model_sha256": report["model"]["sha256"] if is_model else "",
            "settings": settings,
            "figures": figures,
            "refused": sum(found["refused"].values()),
            "config": shareable(config),
            "versions": report["versions"],
        })  # fmt: skip
    return out


def shareable(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without a machine's folders: of a path its last part. What lay there, the fingerprints say."""
    return {
        key: Path(value).name if key in _PLACES and Path(str(value)).is_absolute() else value
        for key, value in config.items()
    }


def checked(row: Any, where: str) -> dict[str, Any]:
    """``row`` where it is one.

    Raises:
        FormatError: it is not, or of another version.
    """
    if not isinstance(row, dict) or any(key not in row for key in _NEEDED):
        raise FormatError("a leaderboard row", "something else", where=where, hint="cadenza evaluate writes rows.json.")
    if row["schema"] != SCHEMA:
        raise FormatError(f"a row of version {SCHEMA}", str(row["schema"]), where=where)
    return row


def name_of(row: Mapping[str, Any]) -> str:
    """The row's file: what it is in letters, and a hash of what it claims and under which settings."""
    key = [row["system"], row.get("decoding", ""), row.get("model_sha256", ""), row["settings"]]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:10]
    said = re.sub(r"[^a-z0-9]+", "-", f"{row['system']} {row.get('decoding', '')}".lower()).strip("-")
    return f"{said}-{digest}.json"


def add(board: Path, sources: Sequence[Path]) -> list[tuple[Path, str]]:
    """Put rows on the board: of run folders, or files of rows. Returns (file, "added" or "replaced").

    Raises:
        FormatError: a source holds no rows; then nothing is added.
    """
    found: list[dict[str, Any]] = []
    for source in sources:
        path = source / folder.ROWS if source.is_dir() else source
        value = folder.read_json(path)
        found += [checked(row, str(path)) for row in (value if isinstance(value, list) else [value])]
    try:
        board.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError("a folder to write to", error.strerror or str(error), where=str(board)) from error
    out = []
    for row in found:
        path = board / name_of(row)
        done = "replaced" if path.exists() else "added"
        folder.write_json(path, row)
        out.append((path, done))
    return out


def load(board: Path) -> list[dict[str, Any]]:
    """All rows of a board.

    Raises:
        ConfigError: there is no such folder, or no rows in it.
    """
    rows = [checked(folder.read_json(path), str(path)) for path in sorted(board.glob("*.json"))]
    if not rows:
        raise ConfigError("a leaderboard with rows", "none", where=str(board), hint="cadenza leaderboard add RUN")
    return rows


def why_not(a: Mapping[str, Any], b: Mapping[str, Any], same: Mapping[str, str] = SAME) -> list[str]:
    """What keeps two rows from being compared, in words; empty where they may be."""
    out = []
    for key, said in same.items():
        first, second = a["settings"].get(key), b["settings"].get(key)
        if first != second:
            out.append(f"{said}: {_shown(first)} and {_shown(second)}")
    return out


def _shown(value: Any) -> str:
    text = str(value)
    return text[:12] if re.fullmatch(r"[0-9a-f]{64}", text) else text


def groups(rows: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The rows in groups that may be compared, largest first; human first, then baselines, then models in each."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(json.dumps([row["settings"].get(key) for key in SAME]), []).append(row)
    order = {"human": 0, "baseline": 1, "model": 2}
    out = [
        sorted(group, key=lambda row: (order.get(row["is"], 3), row["system"], row.get("decoding", "")))
        for group in found.values()
    ]
    return sorted(out, key=len, reverse=True)


def label(row: Mapping[str, Any]) -> str:
    """A row in a few words."""
    return f"{row['system']}, {row['decoding']}" if row.get("decoding") else str(row["system"])


def _system(row: Mapping[str, Any]) -> str:
    return str(row["system"]).removeprefix("cadenza ")


def _brief(row: Mapping[str, Any]) -> str:
    """A row in the margin of a plot."""
    return f"{_system(row)}, {row['decoding']}" if row.get("decoding") else _system(row)


def figures_of(group: Sequence[Mapping[str, Any]]) -> list[str]:
    """All columns of a group, likelihood first, then by metric."""
    names: dict[str, str] = {}
    for row in group:
        for name, found in row["figures"].items():
            names[name] = found["metric"]
    return sorted(names, key=lambda name: (names[name] != "likelihood", names[name]))


def comparable_bits(group: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why bits of some rows of a group do not compare with those of its first; empty where all do."""
    with_bits = [row for row in group if "bits_per_note" in row["figures"]]
    out = []
    for row in with_bits[1:]:
        reasons = why_not(with_bits[0], row, SAME_BITS)
        if reasons:
            out.append(f"{label(row)}: {'; '.join(reasons)}")
    return out


# ── the page ─────────────────────────────────────────────────────────────────────────────────────────────

#: The figures of the short table, where a group has them.
SHORT = (
    "bits_per_note", "rep_1_bars", "ends_in_loop", "copied_bars_seed", "copied_run_index", "pitch_class_entropy",
    "groove_consistency", "mean_overlap", "onset_f1", "onset_offset_f1", "frame_f1", "mv2h_like",
)  # fmt: skip


def html(rows: Sequence[Mapping[str, Any]]) -> str:
    """The whole board as one page."""
    from cadenza.app.evaluation import page, published

    found = groups(rows)
    parts = [
        "<h1>Leaderboard</h1>",
        f"<p>{len(rows)} rows in {len(found)} {'group' if len(found) == 1 else 'groups'}; figures are compared within "
        "a group only. Intervals are 95 % bootstraps over pieces. No figure is a verdict: most are best where they "
        "equal those of human music.</p>",
    ]
    for number, group in enumerate(found, 1):
        parts += _group(group, number, found[0])
    parts += [
        "<h2>Published figures of others</h2>",
        "<p>As their authors report them, on other data and by other protocols: nothing here compares with the rows "
        "above or with each other, except where one source measured both.</p>",
        page.cells(
            ["what", "on", "figure", "source"],
            [[one.what, one.on, one.figure, one.source] for one in published.FIGURES],
        ),
    ]
    return page.document("Leaderboard", parts)


def _group(group: Sequence[Mapping[str, Any]], number: int, first: Sequence[Mapping[str, Any]]) -> list[str]:
    from cadenza.app.evaluation import page

    settings = group[0]["settings"]
    said = ", ".join(f"{words}: {_shown(settings.get(key))}" for key, words in SAME.items() if settings.get(key) != "")
    parts = [
        f"<h2>{escape(settings['kind'].capitalize())}, group {number}</h2>",
        f"<p>{escape(said)}; {settings.get('n_seeds', '?')} pieces.</p>",
    ]
    if group is not first:
        reasons = why_not(first[0], group[0])
        parts.append(f'<p class="note">Not compared with group 1. {escape("; ".join(reasons))}.</p>')
    other = comparable_bits(group)
    if other:
        parts.append(f'<p class="note">Bits do not compare for {escape("; ".join(other))}.</p>')
    names = figures_of(group)
    short = [name for name in SHORT if name in names] or names[:6]
    parts.append(_table(group, short))
    plots = []
    for name in names:
        # Bits are the model's, whatever the decoding.
        is_bits = any(row["figures"].get(name, {}).get("metric") == "likelihood" for row in group)
        named = _system if is_bits else _brief
        with_it = {named(row): row["figures"][name] for row in group if name in row["figures"]}
        of = next(iter(with_it.values()))
        about = {"lower": "less is better", "higher": "more is better"}.get(of["better"], "as human music is best")
        plots.append(page.dots(page.words(name), f"{of['unit']}; {about}" if of["unit"] else about, with_it))
    rest = [name for name in names if name not in short]
    if rest:
        parts.append(f"<details><summary>All {len(names)} figures</summary>{_table(group, names)}</details>")
    parts += ['<div class="plots" style="margin-top:1rem">', *plots, "</div>"]
    return parts


def _table(group: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Rows of the board across where there are few figures, down where there are many."""
    from cadenza.app.evaluation import page

    def cell(row: Mapping[str, Any], name: str) -> Any:
        found = row["figures"].get(name)
        return "–" if found is None else (page.number(found["value"]), page.between(found), "")

    if len(names) <= len(SHORT) and len(names) < 10:
        return page.cells(
            ["", *map(page.words, names)], [[label(row), *(cell(row, name) for name in names)] for row in group]
        )
    return page.cells(
        ["", *map(label, group)], [[page.words(name), *(cell(row, name) for row in group)] for name in names]
    )
