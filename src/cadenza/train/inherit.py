"""What a model that is trained further takes over from its base besides weights.

A composer's folder may say how far music repeats itself (``loops.json``) and what was in its training set
(``originality.npz``: fingerprints, no music), so that composing does not copy. Trained on more music it must not copy
that either: the index grows by the corpus's training rows, and the run that held-out music usually shares with what was
learned (``human_run``) is measured anew on the corpus's own held-out rows, since a style has its own common property.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cadenza.corpus.open import BuiltCorpus, texts_of
from cadenza.infer.model import LOOPS_FILE, ORIGINALITY_FILE
from cadenza.metrics.originality import HUMAN_QUANTILE, OriginalityIndex, usual_runs
from cadenza.score.model import Score

HELD_OUT = ("validation", "test")


def inherit(base: Path, corpus: BuiltCorpus, folder: Path) -> None:
    """Put into ``folder`` what ``base`` has; a base without gives nothing.

    Raises:
        FormatError: the base's index is damaged.
    """
    if (base / LOOPS_FILE).is_file():
        shutil.copyfile(base / LOOPS_FILE, folder / LOOPS_FILE)
    if (base / ORIGINALITY_FILE).is_file():
        grown(OriginalityIndex.load(base / ORIGINALITY_FILE), corpus).save(folder / ORIGINALITY_FILE)


def grown(index: OriginalityIndex, corpus: BuiltCorpus) -> OriginalityIndex:
    """The index with a corpus's training music, its bound measured on the held-out music where there is any."""
    corpora = [index.about.get("corpus", ""), corpus.manifest["fingerprint"]]
    larger = index.with_(_music(corpus, "train"), corpus=" + ".join(filter(None, corpora)))
    runs = [run for split in HELD_OUT for run in usual_runs(_music(corpus, split), larger)]
    if not runs:
        return larger
    return OriginalityIndex(
        larger.passages, larger.bars, larger.about | {"human_run": int(np.quantile(runs, HUMAN_QUANTILE))}
    )


def _music(corpus: BuiltCorpus, split: str) -> Iterator[Score]:
    """The pieces of a split as they came, in passages: those to be continued where every piece serves that task, since
    gaps and parts are cut from the same music."""
    config = corpus.manifest["config"]
    said = config["tasks"].get("continue", 0)
    whole = (said.get("share", 1) if isinstance(said, dict) else said) == 1
    for row in corpus.rows(split):
        if not row["copy"] and (row["task"] == "continue" or not whole):
            yield from map(corpus.notation.decode, texts_of(row, config["style"]))
