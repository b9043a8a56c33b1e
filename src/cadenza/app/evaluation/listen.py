"""A blind listening test as one page that works without a network, and what its results say.

Each trial has a passage X and two continuations of it, A and B: the piece's own and a model's, in an order drawn anew
for each trial. Two questions can be asked:

- ``human``: which of A and B goes on as the human wrote it? Chance is one half; a listener who does no better cannot
  tell the model from the human, one who does worse likes what the model does.
- ``abx``: X is A or B once more; which? This asks only whether the two can be told apart by ear.

Everything is played by the same built-in synthesizer at the same loudness, so that nothing but the notes differs. The
page counts right answers only at the end, and tests them with the exact binomial test, as does :func:`judged`, which
reads the CSV that the page offers for download.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.app.evaluation import folder, page, picture
from cadenza.base.errors import ConfigError, FormatError, did_you_mean
from cadenza.corpus.store import load_pieces
from cadenza.infer.evaluate import HUMAN
from cadenza.metrics import statistics
from cadenza.score.edit import select_bars

TASKS = ("human", "abx")
QUESTIONS: Mapping[str, str] = {
    "human": "Which of the two goes on as the human wrote it?",
    "abx": "Which of the two is X?",
}
COLUMNS = ("page", "trial", "task", "seed", "system", "a", "x", "answer", "right", "seconds")
CONTEXT_BARS = 4  # of X where it is what was given
LEAD_BARS = 1  # before A and B, so that the join is heard


def build(
    run: Path,
    system: str = "",
    *,
    n: int = 12,
    task: str = "human",
    seed: int = 0,
    say: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> str:
    """The page of a test on the continuations of a finished generation run.

    Args:
        system: whose continuations; empty = the run's first decoding.
        n: trials; fewer where the run has fewer seeds with both continuations.
        seed: decides which seeds and all orders.

    Raises:
        ConfigError: an unknown system or task, or nothing to compare.
        FormatError: there is no finished run.
    """
    if task not in TASKS:
        raise ConfigError("a known task", repr(task), hint=did_you_mean(task, TASKS))
    if n < 1:
        raise ConfigError("at least one trial", str(n))
    report = folder.read_json(run / folder.REPORT)
    known = [name for name in report["systems"] if name != HUMAN]
    system = system or report["config"]["decodings"][0]
    if system not in known:
        raise ConfigError("a system of this run", repr(system), where=str(run), hint=did_you_mean(system, known))
    from cadenza.app.evaluation.generation import loaded

    seeds, _, _ = loaded(run)
    rng = np.random.default_rng(seed)
    trials: list[Any] = []
    clips: list[Any] = []
    for index in rng.permutation(len(seeds)).tolist():
        path = folder.row_path(run, index).with_suffix(".npz")
        made = {piece.work_id: piece.score for piece in load_pieces(path)}
        if len(trials) == n:
            break
        if not all(name in made and made[name].n_notes for name in (system, HUMAN)):
            continue
        say("clips", len(trials), n)
        given = seeds[index].given
        n_given = seeds[index].n_given
        both = {name: picture.sound(picture.with_lead_in(given, made[name], LEAD_BARS)[0]) for name in (system, HUMAN)}
        human_is_a, x_is_a = bool(rng.integers(2)), bool(rng.integers(2))
        a, b = (HUMAN, system) if human_is_a else (system, HUMAN)
        x = (
            picture.sound(select_bars(max(0, n_given - CONTEXT_BARS), n_given).apply(given))
            if task == "human"
            else both[a if x_is_a else b]
        )
        trials.append({"seed": seeds[index].name, "a": a, "x": "given" if task == "human" else (a if x_is_a else b)})
        clips.append({"a": both[a], "b": both[b], "x": x})
    if not trials:
        raise ConfigError("seeds with both continuations", "none", where=str(run))
    say("clips", len(trials), len(trials))
    return _page(trials, clips, system, task, report)


def judged(path: Path) -> dict[str, Any]:
    """What the results of one or more listeners say (their CSV files joined, heads repeated or not).

    Returns:
        For each (task, system): trials, right answers, share with its exact 95 % interval, two-sided exact p.

    Raises:
        FormatError: it is no such file.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError("results of a listening page (CSV)", str(error)[:200], where=str(path)) from None
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or any(name not in rows[0] for name in COLUMNS):
        raise FormatError(f"columns {', '.join(COLUMNS)}", "others", where=str(path))
    counts: dict[tuple[str, str], list[int]] = {}
    for line, row in enumerate(rows, 2):
        if row["page"] == "page":
            continue  # the head of a second file
        if row["right"] not in ("0", "1") or row["task"] not in TASKS or row["answer"] not in ("a", "b"):
            raise FormatError("an answer a or b, right 0 or 1", str(dict(row))[:120], where=f"{path}, line {line}")
        if int(row["right"]) != _is_right(row):
            raise FormatError("right as its answer says", row["right"], where=f"{path}, line {line}")
        found = counts.setdefault((row["task"], row["system"]), [0, 0])
        found[0] += int(row["right"])
        found[1] += 1
    out = []
    for (task, system), (n_right, n) in counts.items():
        share = statistics.binomial_interval(n_right, n)
        out.append({
            "task": task, "system": system, "n": n, "right": n_right, "share": share.record(),
            "p": statistics.binomial_test(n_right, n),
        })  # fmt: skip
    return {"tests": out}


def _is_right(row: Mapping[str, str]) -> int:
    wanted = HUMAN if row["task"] == "human" else row["x"]
    chosen = row["a"] if row["answer"] == "a" else (row["system"] if row["a"] == HUMAN else HUMAN)
    return int(chosen == wanted)


def _page(
    trials: Sequence[Mapping[str, str]], clips: Sequence[Mapping[str, str]], system: str, task: str, report: Any
) -> str:
    digest = hashlib.sha256(json.dumps([list(map(dict, trials)), list(map(dict, clips))]).encode()).hexdigest()[:12]
    told = {
        "page": digest, "task": task, "system": system, "human": HUMAN, "columns": COLUMNS,
        # Not in the clear: a glance at the page's source should not unblind the listener.
        "key": base64.b64encode(json.dumps(list(map(dict, trials))).encode()).decode(),
        "clips": list(map(dict, clips)),
    }  # fmt: skip
    of = f"{report['model']['name']}, {system}" if system in report["config"]["decodings"] else system
    about = "X is what was given." if task == "human" else "X is one of them once more."
    body = [
        "<main>",
        f"<h1>{escape(QUESTIONS[task])}</h1>",
        f"<p>{len(trials)} trials, A and B in random order. {about} Hear both before you answer; you may hear them as "
        "often as you like.</p>",
        '<p id="where"></p>',
        '<div class="players"><button id="x"><kbd>X</kbd></button><button id="a"><kbd>A</kbd></button>'
        '<button id="b"><kbd>B</kbd></button></div>',
        '<div class="answers"><button id="is-a"><kbd>←</kbd> It is A</button>'
        '<button id="is-b">It is B <kbd>→</kbd></button></div>',
        '<p id="hint">Keys: <kbd>X</kbd> <kbd>A</kbd> <kbd>B</kbd> play, <kbd>space</kbd> stops, <kbd>←</kbd> and '
        "<kbd>→</kbd> answer.</p>",
        "</main>",
        '<section id="end" hidden><h1>Thank you</h1><p id="verdict"></p><p><a id="download" download='
        f'"listening-{digest}.csv">Download the results (CSV)</a> <kbd>D</kbd></p><div id="table" class="table"></div>'
        f"<p>The continuations were of: {escape(of)}.</p></section>",
        f'<script type="application/json" id="told">{json.dumps(told)}</script>',
        f"<script>{_SCRIPT}</script>",
    ]
    style = f"<style>{_STYLE}</style>"
    return page.document("Listening test", [style, *body])


_STYLE = """
main, #end { max-width: 640px; margin: 3rem auto; text-align: center }
.players button { font: inherit; font-size: 1.6rem; padding: 1.2rem 2.2rem; margin: .5rem; border-radius: 10px;
  border: 2px solid var(--line); background: transparent; color: inherit; cursor: pointer }
.players button.plays { border-color: var(--bar); background: color-mix(in srgb, var(--bar) 18%, transparent) }
.players button.heard { border-style: dashed }
.answers button { font: inherit; padding: .6rem 1.4rem; margin: 1rem .5rem; border-radius: 8px;
  border: 1px solid var(--bar); background: var(--bar); color: var(--paper); cursor: pointer }
.answers button:disabled { opacity: .35; cursor: default }
kbd { font: inherit; font-weight: 600 }
""".strip()

_SCRIPT = r"""
"use strict";
const told = JSON.parse(document.getElementById("told").textContent);
const key = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(told.key), c => c.charCodeAt(0))));
const $ = id => document.getElementById(id);
const rows = [];
let trial = 0, heard = new Set(), playing = null, began = performance.now(), ended = false;
const players = told.clips.map(clips => ({a: new Audio(clips.a), b: new Audio(clips.b), x: new Audio(clips.x)}));

function stop() {
  if (playing) { playing.pause(); playing.currentTime = 0; }
  playing = null;
  for (const id of ["x", "a", "b"]) $(id).classList.remove("plays");
}
function play(id) {
  stop();
  playing = players[trial][id];
  playing.onended = () => $(id).classList.remove("plays");
  const started = playing.play();
  if (started) started.catch(() => {});
  $(id).classList.add("plays", "heard");
  heard.add(id);
  show();
}
function show() {
  $("where").textContent = "Trial " + (trial + 1) + " of " + told.clips.length;
  const ready = heard.has("a") && heard.has("b") && (told.task !== "abx" || heard.has("x"));
  $("is-a").disabled = $("is-b").disabled = !ready;
  document.body.dataset.trial = ended ? "end" : String(trial + 1);
}
function answer(id) {
  if (ended || $("is-a").disabled) return;
  stop();
  const at = key[trial], other = at.a === told.human ? told.system : told.human;
  const chosen = id === "a" ? at.a : other, wanted = told.task === "human" ? told.human : at.x;
  rows.push({page: told.page, trial: trial + 1, task: told.task, seed: at.seed, system: told.system, a: at.a, x: at.x,
    answer: id, right: chosen === wanted ? 1 : 0, seconds: ((performance.now() - began) / 1000).toFixed(1)});
  trial += 1; heard = new Set(); began = performance.now();
  for (const id of ["x", "a", "b"]) $(id).classList.remove("heard");
  if (trial === told.clips.length) finish(); else show();
}
function binomial(right, n) {
  let log = [0];
  for (let k = 1; k <= n; k++) log.push(log[k - 1] + Math.log(k));
  const p = [];
  for (let k = 0; k <= n; k++) p.push(Math.exp(log[n] - log[k] - log[n - k] + n * Math.log(0.5)));
  return Math.min(1, p.filter(q => q <= p[right] * (1 + 1e-7)).reduce((a, b) => a + b, 0));
}
function quoted(value) {
  const text = String(value);
  return /[",\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
}
function finish() {
  ended = true;
  const right = rows.reduce((sum, row) => sum + row.right, 0), n = rows.length, p = binomial(right, n);
  document.querySelector("main").hidden = true;
  $("end").hidden = false;
  $("verdict").textContent = right + " of " + n + " right; by chance so far from one half, or farther, with p = " +
    p.toPrecision(3) + " (exact binomial test, two-sided).";
  $("verdict").dataset.right = right; $("verdict").dataset.p = p;
  const lines = [told.columns, ...rows.map(row => told.columns.map(name => row[name]))];
  $("download").href = "data:text/csv;charset=utf-8," +
    encodeURIComponent(lines.map(line => line.map(quoted).join(",")).join("\n") + "\n");
  const table = document.createElement("table");
  for (const line of [["", "seed", "A was", "answer", ""],
      ...rows.map(r => [r.trial, r.seed, r.a, r.answer.toUpperCase(), r.right ? "right" : "wrong"])]) {
    const row = table.insertRow();
    for (const text of line) row.insertCell().textContent = text;
  }
  $("table").append(table);
  show();
}
for (const id of ["x", "a", "b"]) $(id).onclick = () => play(id);
$("is-a").onclick = () => answer("a");
$("is-b").onclick = () => answer("b");
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const name = event.key.toLowerCase();
  if (ended) { if (name === "d") $("download").click(); return; }
  if (["x", "a", "b"].includes(name)) play(name);
  else if (name === " ") stop();
  else if (name === "arrowleft") answer("a");
  else if (name === "arrowright") answer("b");
  else return;
  event.preventDefault();
});
show();
""".strip()
