"""docs/formats.md: every cell is what really happens to a real file."""

from __future__ import annotations

from pathlib import Path

import pytest

from cadenza import formats
from cadenza.app import matrix
from cadenza.app.features import GROUPS, MARK_EXAMPLES, MARK_NAMES, MARKS_LEFT_OUT, features
from cadenza.score.model import Score, Technique
from cadenza.score.written import MARK_KINDS
from docs.makers import MAKERS

PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text("utf-8")
ROWS = features()
WAYS = matrix.ways(MAKERS)


def cells_of_the_page() -> dict[tuple[str, str], str]:
    """(suffix, feature) → cell, as the page says."""
    meaning = {sign: cell for cell, sign in matrix.SIGNS.items()}
    out, heads = {}, []
    for line in PAGE.splitlines():
        if line.startswith("| | ."):
            heads = [cell.split("<br>") for cell in line.strip("| ").split(" | ")]
        elif line.startswith("| ") and not line.startswith("| *"):
            name, *signs = line.strip("| ").split(" | ")
            for suffixes, sign in zip(heads, signs, strict=True):
                out.update({(suffix[1:], name): meaning[sign] for suffix in suffixes})
    return out


CELLS = cells_of_the_page()


def test_the_page_has_every_cell() -> None:
    assert set(CELLS) == {(suffix, row.name) for suffix in WAYS for row in ROWS}


@pytest.mark.parametrize("suffix", WAYS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_cell_is_what_happens_to_a_real_file(suffix: str, row) -> None:
    def write(score: Score, path: Path) -> None:
        formats.write(score, path)

    real = matrix.made_and_read(suffix, MAKERS.get(suffix, write))
    assert matrix.cell(suffix, row, real) == CELLS[suffix, row.name]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_feature_is_seen_where_it_is_and_only_there(row) -> None:
    assert row.group in GROUPS
    for score in row.scores:
        value = row.value(score)
        assert row.keeps(value, value)
        assert not row.gone(value)
    assert matrix.outcome(row, lambda score: score) == matrix.KEPT
    if row.name not in ("performed times (off any grid)",):  # which are changed, but never gone
        assert matrix.outcome(row, lambda score: Score()) == matrix.DROPPED


def test_every_technique_and_kind_of_mark_has_a_row() -> None:
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    assert sum(row.group == "playing techniques" for row in ROWS) == sum(1 for t in Technique if t)
    assert sum(row.group == "written marks" for row in ROWS) == len(set(MARK_KINDS) - set(MARKS_LEFT_OUT))


def test_declarations_name_features() -> None:
    marks = {MARK_NAMES.get(kind, kind.replace("_", " ")) for kind in MARK_EXAMPLES}
    known = {row.name for row in ROWS} | marks
    for suffix, lacking in matrix.ABSENT.items():
        assert set(lacking.names) | set(lacking.but) <= known, suffix
        assert set(lacking.groups) <= set(GROUPS), suffix
    for suffix in formats.FORMATS.names():
        declared = getattr(formats.FORMATS.load(suffix), "ABSENT", ())
        names = [name for part in (declared.values() if isinstance(declared, dict) else [declared]) for name in part]
        assert set(names) <= known, suffix


def test_what_the_format_lacks_is_kept_by_nobody() -> None:
    wrong = [key for key, cell in CELLS.items() if cell == matrix.KEPT and
             matrix.lacks(key[0], next(row for row in ROWS if row.name == key[1]))]  # fmt: skip
    assert wrong == []
