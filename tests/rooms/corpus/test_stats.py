"""What ``corpus stats`` counts, against music whose figures are known; its page."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("pyarrow", reason="pyarrow (extra [corpus]) is not installed")

import defusedxml.ElementTree as ElementTree

from cadenza import formats
from cadenza.app.cli.corpus import app
from cadenza.corpus import stats
from cadenza.corpus.open import BuiltCorpus
from cadenza.corpus.page import page
from cadenza.corpus.pipeline import CorpusConfig, build
from cadenza.score.model import Bend, Metre, Note, Score, Tempo, Track


def song(seed: int) -> Score:
    """Eight bars of 4/4 at 120, 16 seconds: 32 notes, four of them bent by a whole tone, and eight drum hits."""
    bent = (Bend(0, 0), Bend(240, 200))
    lead = [Note(480 * i, 480, 60 + (i * seed) % 11, 64 + i % 2, bent if i < 4 else ()) for i in range(32)]
    hits = [Note(1920 * i, 120, 36, 100) for i in range(8)]
    tracks = (Track.of(lead, program=30), Track.of(hits, is_drums=True))
    return Score(tracks, tempos=(Tempo(0, 120.0),), metres=(Metre(0, 4, 4),), length_ticks=8 * 1920)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> BuiltCorpus:
    folder = tmp_path_factory.mktemp("stats")
    (folder / "music").mkdir()
    for seed in (3, 5, 7):
        formats.write(song(seed), folder / "music" / f"{seed}.mid")
    build([folder / "music"], folder / "out", CorpusConfig(chunk_files=2, augment={"copies": 1}))
    return BuiltCorpus.open(folder / "out")


def test_notes_are_counted(corpus: BuiltCorpus):
    found = stats.statistics(corpus)
    assert found["instruments"] == {"guitar": 96, "drums": 24}
    assert found["velocities"] == {"64–71": 96, "96–103": 24}
    assert found["bends"] == {"176–225": 12}
    assert found["metres"] == {"4/4": 3}
    assert found["distinct_velocities"] == {"3–8": 3}
    assert found["families"] == {"guitar": 3, "drums": 3}


def test_costs_are_those_of_the_texts(corpus: BuiltCorpus):
    rows = stats.costs(corpus, {"words": lambda text: len(text.split())})
    by = {(row["notation"], row["tokenizer"]): row for row in rows}
    assert {row["tokenizer"] for row in rows} == {"own words", "bytes", "words"}
    assert {row["notation"] for row in rows} >= {"simplified-midi (own)", "abc", "dadagp", "mt3"}
    own = by["simplified-midi (own)", "words"]
    texts = [corpus.notation.encode(formats.read(corpus.folder.parent / "music" / f"{n}.mid")) for n in (3, 5, 7)]
    assert own["tokens"] == sum(len(text.split()) for text in texts)
    assert (own["notes"], own["pieces"], own["refused"]) == (120, 3, 0)
    assert own["tokens_per_note"] == round(own["tokens"] / 120, 3)
    assert own["seconds_per_4096_tokens"] == pytest.approx(4096 * 48 / own["tokens"], abs=0.01)
    bytes_ = by["simplified-midi (own)", "bytes"]
    assert bytes_["tokens"] == sum(len(text.encode()) for text in texts)


def test_without_its_work_folder_a_corpus_still_has_figures(corpus: BuiltCorpus, tmp_path: Path):
    shutil.copytree(corpus.folder, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "work")
    found = stats.statistics(BuiltCorpus.open(tmp_path / "bare"))
    assert set(found) == {"splits"}
    assert "What it holds" not in page(found, corpus.manifest)


@pytest.mark.parametrize(
    ("value", "edges", "said"),
    [(0, (1, 2, 8), "1"), (2, (1, 2, 8), "2"), (3, (1, 2, 8), "3–8"), (9, (1, 2, 8), "above 8"),
     (0.05, (0.0, 0.05, 0.1), "0–0.05"), (200.0, stats.BEND_EDGES_CENTS, "176–225")],
)  # fmt: skip
def test_bins_say_both_ends(value, edges, said):
    assert stats._bin(value, edges) == said


def test_the_page_holds_every_plot_and_loads_nothing(corpus: BuiltCorpus, tmp_path: Path):
    arguments = ["stats", str(corpus.folder), "--page", str(tmp_path / "page.html")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "tokens a note" in result.stdout
    text = (tmp_path / "page.html").read_text("utf-8")
    assert not re.search(r"<script|<link|<img|https?://|url\(|@import", text)
    drawings = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    shown = {svg.get("aria-label"): svg for svg in drawings}
    velocities = shown["Velocities, notes"]
    assert [bar.get("class") for bar in velocities.iter("rect")] == ["", ""]
    widths = [float(bar.get("width")) for bar in velocities.iter("rect")]
    assert widths[1] / widths[0] == pytest.approx(24 / 96, abs=0.01)
    assert [t.text for t in velocities.iter("text") if t.get("class") == "n"] == ["96", "24"]


def test_names_from_strangers_are_text(corpus: BuiltCorpus):
    found = stats.statistics(corpus) | {"sources": {"<script>x</script> & co": 3}}
    text = page(found, corpus.manifest)
    assert "<script" not in text
    assert "&lt;script&gt;x&lt;/script&gt; &amp; co" in text


def test_json_with_a_tokenizer(corpus: BuiltCorpus, tmp_path: Path):
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers (extra [train]) is not installed")
    known = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    known.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    (tmp_path / "blanks").mkdir()
    known.save(str(tmp_path / "blanks" / "tokenizer.json"))
    arguments = ["stats", str(corpus.folder), "--json", "--tokenizer", str(tmp_path / "blanks" / "tokenizer.json")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    (row,) = [
        row for row in json.loads(result.stdout)["costs"]
        if row["tokenizer"] == "blanks" and row["notation"].endswith("(own)")
    ]  # fmt: skip
    assert row["tokens"] == stats.costs(corpus, {"w": lambda text: len(text.split())})[2]["tokens"]
