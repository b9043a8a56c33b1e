"""Folders of music → Parquet shards of text examples: the build behind ``cadenza corpus build``.

Four stages, each of which leaves finished files behind, so that a build that is stopped goes on where it was:

1. **scan**: the files of every source, in one order (:mod:`cadenza.corpus.sources`), in chunks;
2. **ingest**: every chunk is read: scores, facts, fingerprints, rejections (``work/ingest-*``);
3. **decide**: over all chunks: selection, duplicates, groups of works, splits, weights (``work/decisions.json``);
4. **write**: every chunk is augmented, cut and told as examples: one shard a split (``data/SPLIT-NNNNN.parquet``).

Stages 2 and 4 run the same function per chunk in one process, in many or on a cluster (:mod:`cadenza.corpus.engines`).
One build at a time works in a folder (a lock that ends with its process). What a chunk gives depends on its files, the
configuration and the seed alone, never on who computes it or when: the shards are the same, bit for bit, however often
the build was killed and whatever ran it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.config import build_config
from cadenza.base.errors import CadenzaError, ConfigError, FormatError
from cadenza.base.files import clear_unfinished, locked, scratch, write_atomically
from cadenza.base.run import versions
from cadenza.corpus import augment as augmenting
from cadenza.corpus import band, likeness, manifest, shards, sources
from cadenza.corpus import select as selecting
from cadenza.corpus.build import rng_for
from cadenza.corpus.engines import Engine, Processes
from cadenza.corpus.excerpts import viewed
from cadenza.corpus.facts import facts_of
from cadenza.corpus.manifest import SPLITS, VERSION
from cadenza.corpus.sources import Recipe, content_hash
from cadenza.corpus.split import split_of
from cadenza.corpus.store import Piece, load_pieces, save_pieces
from cadenza.corpus.task import TASKS, Example, Length, Settings, examples
from cadenza.notation import NOTATIONS
from cadenza.notation.base import Notation
from cadenza.score.model import Score
from cadenza.score.repeats import unfold

VIEWS = ("", "composer")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _TaskChoice:
    share: float = 1.0
    length: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not 0 <= self.share <= 1:
            raise ConfigError("a share within 0–1", repr(self.share), where="tasks")


@dataclass(frozen=True)
class CorpusConfig:
    """What a corpus is made of. Every field is a key of ``corpus.yaml``.

    Args:
        notation: name of a notation and its options, ``{name: simplified-midi, bars: true}``.
        tasks: task → share of the pieces that serve it, or ``{share: 0.5, length: {bars: 16}}`` with its own length.
        view: "" tells pieces as they are; "composer" as the shipped composer sees them: on a grid of 24 a quarter,
            drums on twelfths, without doubled notes, each run of full bars of one metre for itself.
        style: "bare", or "instruct" for the published instruction format.
        length: length of passages, see :class:`~cadenza.corpus.task.Length`.
        select: a predicate, see :mod:`cadenza.corpus.select`; {} takes everything.
        weights: list of :class:`~cadenza.corpus.select.Weight`; their product is the column ``weight``.
        augment: see :class:`~cadenza.corpus.augment.Augmentation`; training pieces only.
        deduplicate: leave out pieces with exactly the notes of an earlier one.
        group: keep works that share music in one split.
        unfold: write repeats out.
        seed: of all that is drawn.
        chunk_files: files a chunk, and so pieces a shard.
    """

    notation: dict[str, Any] = field(default_factory=lambda: {"name": "simplified-midi"})
    tasks: dict[str, Any] = field(default_factory=lambda: {"continue": 1.0})
    view: str = ""
    style: str = "bare"
    length: dict[str, Any] = field(default_factory=dict)
    select: dict[str, Any] = field(default_factory=dict)
    weights: list[Any] = field(default_factory=list)
    augment: dict[str, Any] = field(default_factory=dict)
    deduplicate: bool = True
    group: bool = True
    unfold: bool = True
    seed: int = 0
    chunk_files: int = 32

    def __post_init__(self) -> None:
        selecting.check(self.select)
        unknown = set(self.tasks) - set(TASKS.names())
        if unknown or not self.tasks:
            raise ConfigError(f"tasks out of {', '.join(TASKS.names())}", ", ".join(sorted(unknown)) or "none")
        if self.chunk_files < 1:
            raise ConfigError("at least one file a chunk", str(self.chunk_files))
        if self.view not in VIEWS:
            raise ConfigError(f"a view of {', '.join(map(repr, VIEWS))}", repr(self.view))
        self.task_settings(self.make_notation())
        self.augmentation()
        self.make_weights()

    def make_notation(self) -> Notation:
        """The notation with its options."""
        options = dict(self.notation)
        kind = NOTATIONS.load(options.pop("name", "simplified-midi"))
        return build_config(kind, options, "notation")

    def settings(self, notation: Notation) -> Settings:
        """What the tasks share."""
        return Settings(notation, build_config(Length, self.length, "length"), self.style)

    def task_settings(self, notation: Notation) -> dict[str, tuple[float, Settings]]:
        """Share and settings of each task.

        Raises:
            ConfigError: a share outside 0–1, or keys that a task does not have.
        """
        shared = self.settings(notation)
        out = {}
        for name, said in self.tasks.items():
            one = build_config(
                _TaskChoice, dict(said) if isinstance(said, Mapping) else {"share": said}, f"tasks.{name}"
            )
            length = build_config(Length, {**self.length, **one.length}, f"tasks.{name}.length")
            out[name] = (float(one.share), replace(shared, length=length))
        return out

    def augmentation(self) -> augmenting.Augmentation:
        """How training pieces are varied."""
        given = {name: tuple(v) if isinstance(v, list) else v for name, v in self.augment.items()}
        return build_config(augmenting.Augmentation, given, "augment")

    def make_weights(self) -> list[selecting.Weight]:
        """The weights, in order."""
        return [build_config(selecting.Weight, one, f"weights[{n}]") for n, one in enumerate(self.weights)]


# ── the build ────────────────────────────────────────────────────────────────────────────────────────────


def build(
    roots: Sequence[Path],
    out: Path,
    config: CorpusConfig,
    engine: Engine | None = None,
    progress: Progress | None = None,
    listen: sources.Listen | None = None,
) -> dict[str, Any]:
    """Build the corpus in ``out``; returns its manifest. Finished stages of an earlier run are taken over.

    Args:
        progress: called with (stage, chunks done, chunks).
        listen: recording → score, for recordings in plain folders (without it they are passed over). A function of a
            module, so that workers can have it; what it raises beside a CadenzaError ends the build.

    Raises:
        ConfigError: ``out`` holds a corpus of another configuration.
        FormatError: no music is there, the disk refuses, or another build works in ``out``.
    """
    shards.versions()  # what is not installed is said before the work
    recipes = sources.scan(roots, listen)
    if not recipes:  # said before anything is written
        raise FormatError("folders with music", "none that can be read", where=", ".join(map(str, roots)))
    work = out / "work"
    _make(work)
    _make(out / "data")
    with locked(out / "work" / "lock", "Another build works in this folder: wait for it, or choose another folder."):
        for folder in (out, work, out / "data"):
            clear_unfinished(folder)
        say = progress or (lambda stage, done, total: None)
        return _build(roots, recipes, out, work, config, engine or Processes(), say, listen)


def _build(
    roots: Sequence[Path],
    recipes: Sequence[Recipe],
    out: Path,
    work: Path,
    config: CorpusConfig,
    engine: Engine,
    say: Progress,
    listen: sources.Listen | None,
) -> dict[str, Any]:
    _same_config(out, config, roots, listen)
    chunks = [recipes[at : at + config.chunk_files] for at in range(0, len(recipes), config.chunk_files)]

    def run(stage: str, function: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> None:
        say(stage, len(chunks) - len(arguments), len(chunks))
        for done, _ in enumerate(engine.map(function, arguments), len(chunks) - len(arguments) + 1):
            say(stage, done, len(chunks))

    bases = [work / f"ingest-{index:05d}" for index in range(len(chunks))]
    keys = [_key(chunk) for chunk in chunks]
    run("reading", ingest, [
        (chunk, base, key, config.unfold)
        for chunk, base, key in zip(chunks, bases, keys, strict=True) if _state(base.with_suffix(".json")) != key
    ])  # fmt: skip
    decisions = decide(bases, config)
    digest = _digest(decisions)
    path = work / "decisions.json"
    if not path.exists() or path.read_bytes() != digest[1]:
        write_atomically(path, digest[1])
    marks = [work / f"write-{index:05d}.json" for index in range(len(chunks))]
    # What a chunk's shards depend on: the decisions, its music, and all music where grooves may come from anywhere.
    needs = [[digest[0], key, *(keys if decisions["kit"] else ())] for key in keys]
    wanted = [hashlib.sha256(json.dumps(need).encode()).hexdigest() for need in needs]
    to_write = [
        (index, base, out, config, decisions["chunks"][index], decisions["velocities"], decisions["kit"], key, mark)
        for index, (base, mark, key) in enumerate(zip(bases, marks, wanted, strict=True))
        if not _written(out, mark, key)
    ]
    if to_write:  # shards are about to change: no manifest shall name what is no more
        (out / "manifest.json").unlink(missing_ok=True)
    run("writing", write, to_write)
    notation = resolved(config.make_notation(), decisions["velocities"])
    return manifest.finish(out, config, notation, bases, marks, decisions)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError("a folder to write to", error.strerror or str(error), where=str(folder)) from error


def _same_config(out: Path, config: CorpusConfig, roots: Sequence[Path], listen: sources.Listen | None) -> None:
    """Write the configuration, or compare it with the one there."""
    path = out / "config.json"
    now = {"version": VERSION, **asdict(config), "roots": [str(root) for root in roots]}
    if listen is not None:  # who listens, and with which bounds, decides what the notes are
        now["listen"] = getattr(listen, "__qualname__", "") or repr(listen)
    text = json.dumps(now, indent=1, sort_keys=True, default=list).encode()
    if path.exists():
        was, new = json.loads(path.read_bytes()), json.loads(text)
        changed = [name for name in sorted({*was, *new}) if was.get(name) != new.get(name)]
        if changed:
            said = "; ".join(f"{name}: {was.get(name)!r} there, {new.get(name)!r} now" for name in changed)
            raise ConfigError(
                "the configuration that this corpus was begun with", said, where=str(out), hint="Choose another folder."
            )
    else:
        write_atomically(path, text)


def _key(chunk: Sequence[Recipe]) -> str:
    """What a chunk's reading depends on: its files as they are on disk, and the code's version."""
    parts: list[Any] = [VERSION, versions()["cadenza"]]
    for recipe in chunk:
        stat = recipe.file.stat() if recipe.file.exists() else None
        said = [recipe.source, recipe.path, recipe.split, recipe.licence, recipe.attribution, recipe.work_id]
        parts.append([*said, recipe.style, *([stat.st_size, stat.st_mtime_ns] if stat else [])])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _state(path: Path) -> str:
    """The key with which a stage's finished file was written; empty where there is none."""
    try:
        return str(json.loads(path.read_bytes())["key"])
    except (OSError, ValueError, KeyError):
        return ""


def _written(out: Path, mark: Path, key: str) -> bool:
    """A chunk's shards are written for this decision, and still there."""
    return _state(mark) == key and all((out / name).is_file() for name in json.loads(mark.read_bytes())["shards"])


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────


def ingest(chunk: Sequence[Recipe], base: Path, key: str, write_out: bool) -> int:
    """Read a chunk's files; writes ``base``.npz (pieces), ``base``-prints.npz and, last, ``base``.json."""
    pieces: list[Piece] = []
    rows: list[dict[str, Any]] = []
    rejected: list[dict[str, str]] = []
    runs: list[np.ndarray] = []
    figures: list[np.ndarray] = []
    for recipe in chunk:
        try:
            piece = recipe.piece()
            if write_out:
                piece = piece.with_score(unfold().apply(piece.score))
            row = _row(piece)
            row["facts"] |= recipe.facts
        except CadenzaError as error:
            kind = type(error).__name__
            rejected.append({"source": recipe.source, "path": recipe.path, "error": kind, "reason": str(error)})
            continue
        found_runs, found_figures = likeness.fingerprint(piece.score)
        row["prints"] = [len(found_runs), *map(len, found_figures)]
        runs.append(found_runs)
        figures += found_figures
        pieces.append(piece)
        rows.append(row)
    save_pieces(base.with_suffix(".npz"), pieces)
    prints = io.BytesIO()
    empty = [np.zeros(0, np.uint64)]
    np.savez(prints, runs=np.concatenate(empty + runs), figures=np.concatenate(empty + figures))
    write_atomically(_prints(base), prints.getvalue())
    text = json.dumps({"key": key, "pieces": rows, "rejected": rejected}, ensure_ascii=False)
    write_atomically(base.with_suffix(".json"), text.encode())
    return len(pieces)


def _prints(base: Path) -> Path:
    return base.with_name(base.name + "-prints.npz")


def _row(piece: Piece) -> dict[str, Any]:
    velocities = sorted({int(v) for track in piece.score.tracks for v in np.unique(track.notes["velocity"])})
    return {
        "path": piece.path,
        "source": piece.source,
        "work_id": piece.work_id,
        "split": piece.split,
        "licence": piece.licence,
        "attribution": piece.attribution,
        "style": piece.style,
        "hash": content_hash(piece.score),
        "velocities": velocities,
        "facts": facts_of(piece.score).as_dict(),
    }


# ── deciding ─────────────────────────────────────────────────────────────────────────────────────────────


def decide(bases: Sequence[Path], config: CorpusConfig) -> dict[str, Any]:
    """Selection, duplicates, groups, splits and weights of all pieces; one list a chunk, one entry a piece.

    Memory holds what is said of each piece here, and one chunk's facts; fingerprints stay on disk.
    """
    chunks: list[list[dict[str, Any]]] = []
    seen: dict[str, str] = {}
    kept: list[dict[str, Any]] = []
    velocities: set[int] = set()
    weights = config.make_weights()
    folder = bases[0].parent / "likeness"
    with scratch(folder):
        index = likeness.Index(folder, *_n_prints(bases)) if config.group else None
        for base in bases:
            entries = []
            for row, runs, figures in _with_prints(base):
                facts = row["facts"] | {"folder": row["path"], "source": row["source"]}
                reason = selecting.reason(config.select, facts)
                if reason is None and config.deduplicate:
                    first = seen.setdefault(row["hash"], row["path"])
                    reason = None if first == row["path"] else f"same notes as {first}"
                entry: dict[str, Any] = {"path": row["path"], "dropped": reason or ""}
                entries.append(entry)
                if reason is None:
                    entry["weight"] = round(float(np.prod([weight.of(facts) for weight in weights])), 6)
                    entry["work"], entry["fixed"] = row["work_id"], row["split"]
                    velocities.update(row["velocities"])
                    kept.append(entry)
                    if index is not None:
                        index.add(row["work_id"], runs, figures)
            chunks.append(entries)
        groups = index.groups() if index is not None else {entry["work"]: entry["work"] for entry in kept}
    fixed = _fixed_splits(kept, groups)
    for entry in kept:
        group = groups[entry.pop("work")]
        entry["group"] = group
        entry["split"] = entry.pop("fixed") or fixed.get(group) or split_of(group)
    return {"chunks": chunks, "velocities": sorted(velocities), "kit": _kit(bases, chunks, config)}


def _rows(base: Path) -> list[dict[str, Any]]:
    """What a chunk's reading says of its pieces."""
    rows: list[dict[str, Any]] = json.loads(base.with_suffix(".json").read_bytes())["pieces"]
    return rows


def _n_prints(bases: Sequence[Path]) -> tuple[int, int]:
    """Runs and figures of all pieces."""
    runs = figures = 0
    for base in bases:
        for row in _rows(base):
            runs += row["prints"][0]
            figures += sum(row["prints"][1:])
    return runs, figures


def _with_prints(base: Path) -> Iterator[tuple[dict[str, Any], np.ndarray, list[np.ndarray]]]:
    """Each piece of a chunk: what is said of it, its runs, the figures of its lines."""
    with np.load(_prints(base), allow_pickle=False) as prints:
        all_runs, all_figures = prints["runs"], prints["figures"]
    run = line = 0
    for row in _rows(base):
        n_runs, *sizes = row["prints"]
        figures = []
        for size in sizes:
            figures.append(all_figures[line : line + size])
            line += size
        yield row, all_runs[run : run + n_runs], figures
        run += n_runs


def _fixed_splits(kept: list[dict[str, Any]], groups: dict[str, str]) -> dict[str, str]:
    """Group → the split that its source has fixed. Where sources disagree, the one that guards the test most."""
    out: dict[str, str] = {}
    for entry in kept:
        if entry["fixed"]:
            group = groups[entry["work"]]
            out[group] = max(out.get(group, ""), entry["fixed"], key=lambda name: (*SPLITS, "").index(name) % 4)
    return out


def _kit(bases: Sequence[Path], chunks: list[list[dict[str, Any]]], config: CorpusConfig) -> list[list[int]]:
    """(chunk, piece) of the training drum performances that band arrangements may use."""
    if not config.augmentation().band:
        return []
    out = []
    for index, (base, entries) in enumerate(zip(bases, chunks, strict=True)):
        for place, (row, entry) in enumerate(zip(_rows(base), entries, strict=True)):
            facts = row["facts"]
            drums = facts["families"] == ["drums"] and not facts["n_families_inferred"]  # its keys are a kit's
            if not entry["dropped"] and entry["split"] == "train" and drums:
                out.append([index, place])
    return out


def _digest(decisions: dict[str, Any]) -> tuple[str, bytes]:
    text = json.dumps(decisions, ensure_ascii=False, sort_keys=True).encode()
    return hashlib.sha256(text).hexdigest(), text


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────


def write(
    index: int,
    base: Path,
    out: Path,
    config: CorpusConfig,
    entries: list[dict[str, Any]],
    velocities: list[int],
    kit: list[list[int]],
    key: str,
    mark: Path,
) -> int:
    """Tell a chunk's pieces as examples; writes its shards and, last, ``mark`` with their hashes and counts."""
    notation = resolved(config.make_notation(), velocities)
    tasks, options = config.task_settings(notation), config.augmentation()
    grooves = _grooves(base.parent, kit) if kit else []
    rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    rejected: list[dict[str, str]] = []
    for piece, row, entry in zip(load_pieces(base.with_suffix(".npz")), _rows(base), entries, strict=True):
        if entry["dropped"]:
            continue
        for copy in range(1 + (options.copies if entry["split"] == "train" else 0)):
            rng = rng_for(config.seed, piece.source, piece.path, copy)
            try:
                record, score = varied(piece, copy, options, grooves, rng)
                if copy and not record:
                    continue  # nothing was varied: it would be the piece once more
                found = _told(score, config.view, tasks, rng)
            except CadenzaError as error:
                said = {"error": type(error).__name__, "reason": f"copy {copy}: {error}"}
                rejected.append({"source": piece.source, "path": piece.path, **said})
                continue
            rows[entry["split"]] += [
                shards.row(one, piece, entry, record, copy, row["facts"]["artist"], row["facts"]["title"])
                for one in found
            ]
    hashes = {}
    for split, listed in rows.items():
        name = f"data/{split}-{index:05d}.parquet"
        if listed:
            hashes[name] = shards.save(out / name, listed)
        else:
            (out / name).unlink(missing_ok=True)
    counts = {split: _counts(listed) for split, listed in rows.items() if listed}
    text = json.dumps({"key": key, "shards": hashes, "counts": counts, "rejected": rejected}, ensure_ascii=False)
    write_atomically(mark, text.encode())
    return sum(map(len, rows.values()))


def _told(
    score: Score, view: str, tasks: Mapping[str, tuple[float, Settings]], rng: np.random.Generator
) -> list[Example]:
    """The examples of a piece, seen as the configuration says; bars are counted in the whole piece."""
    if view != "composer":
        return examples(score, tasks, rng)
    return [
        replace(one, first_bar=bar + one.first_bar)
        for bar, part, _ in viewed(score)
        for one in examples(part, tasks, rng)
    ]


def resolved(notation: Notation, velocities: Iterable[int]) -> Notation:
    """The notation with options that depend on the corpus settled (``velocity: auto:N``)."""
    settle = getattr(notation, "resolve", None)
    if settle is None:
        return notation
    from cadenza.score.model import Note, Track

    levels = Track.of([Note(0, 1, 60, velocity) for velocity in velocities])
    return settle([Score((levels,))])


def varied(
    piece: Piece, copy: int, options: augmenting.Augmentation, grooves: list[band.Groove], rng: np.random.Generator
) -> tuple[dict[str, Any], Score]:
    """What was done to copy number ``copy`` (0: nothing), and the score."""
    if copy == 0:
        return {}, piece.score
    as_band = rng.random() < options.band
    score, record = piece.score, {}
    if as_band and grooves:
        made = band.arrange(score, grooves, rng)
        if made is not None:
            record, score = {"band": made[0]}, made[1]
    variation = augmenting.draw_for(score, options, rng)
    return record | variation.record, variation(score)


def _grooves(work: Path, kit: list[list[int]]) -> list[band.Groove]:
    out: list[Piece] = []
    for index in sorted({index for index, _ in kit}):
        pieces = load_pieces(work / f"ingest-{index:05d}.npz")
        out += [pieces[place] for chunk, place in kit if chunk == index]
    return band.drum_kit(out)


def _counts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "examples": len(rows),
        "pieces": len({row["path"] for row in rows}),
        "works": len({row["work_id"] for row in rows}),
        "notes": sum(row["n_notes"] for row in rows),
        "seconds": round(sum(row["seconds"] for row in rows), 3),
        "tasks": dict(sorted(Counter(row["task"] for row in rows).items())),
    }
