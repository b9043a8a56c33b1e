"""Files of ABC: tunes, books by number, encodings, and the errors in between."""

from __future__ import annotations

import pytest

from cadenza import formats
from cadenza.base.errors import FormatError
from cadenza.formats import abc
from cadenza.notation.abc import Abc
from cadenza.score.edit import project
from cadenza.score.model import Note, Score, Track

BOOK = "%abc-2.1\n\nX:3\nT:One\nL:1/4\nK:C\nCDEF|\n\nsome words\n\nX:22\nT:Two\nL:1/4\nK:G\nF4|\n"


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.abc"
    path.write_text(BOOK)
    return path


def test_a_tune_of_a_book_by_its_number(book):
    assert formats.read(f"{book}#22").title == "Two"
    assert formats.read(f"{book}#3").tracks[0].notes["pitch"].tolist() == [60, 62, 64, 65]
    assert abc.numbers(book) == [3, 22]
    assert [(number, score.title) for number, score in formats.read_all(book)] == [(3, "One"), (22, "Two")]


def test_a_number_that_is_not_there_and_none_where_one_is_needed(book):
    with pytest.raises(FormatError) as error:
        formats.read(f"{book}#4")
    assert error.value.expected == "a tune with X:4"
    assert error.value.actual == "2: 3, 22"
    with pytest.raises(FormatError, match="one tune, found 2: 3, 22") as error:
        formats.read(book)
    assert f"{book}#3" in error.value.hint


def test_a_file_of_one_tune_needs_no_number(tmp_path):
    path = tmp_path / "one.abc"
    path.write_text(BOOK.split("\n\n")[1])
    assert formats.read(path) == formats.read(f"{path}#3")


def test_numbers_are_for_books_only(tmp_path):
    with pytest.raises(FormatError, match="a file that can be read"):
        formats.read(tmp_path / "piece.mid#3")
    odd = tmp_path / "a.abc#1"
    odd.write_text(BOOK)
    with pytest.raises(FormatError, match="a file that can be read"):  # a file of that very name is that file
        formats.read(odd)


def test_read_all_of_other_formats(tmp_path):
    score = Score((Track.of([Note(0, 480, 60)]),))
    formats.write(score, tmp_path / "a.mid")
    ((number, found),) = formats.read_all(tmp_path / "a.mid")
    assert number == 1
    assert found.n_notes == 1


def test_errors_name_the_file_and_the_place(book):
    book.write_text("X:1\nK:C\nCD\x01E|\n")
    with pytest.raises(FormatError) as error:
        formats.read(book)
    assert error.value.where == f"{book}, line 3, column 3"
    with pytest.raises(FormatError):
        formats.read_all(book)
    score, problems = abc.repair(book)
    assert score.n_notes == 3
    assert [str(p) for p in problems] == ["line 3, column 3: expected music, found '\\x01'; left out"]


def test_latin_1_and_line_ends(tmp_path):
    path = tmp_path / "alt.abc"
    path.write_bytes("X:1\r\nT:Müller\r\nK:C\r\nC|\r\n".encode("latin-1"))
    assert formats.read(path).title == "Müller"


def test_written_files_end_with_a_line_break_and_take_options(tmp_path):
    score = Score((Track.of([Note(0, 480, 60)], name="a"), Track.of([Note(0, 960, 62)], name="b")))
    formats.write(score, tmp_path / "a.abc")
    assert (tmp_path / "a.abc").read_text() == Abc().encode(score) + "\n"
    notation = Abc(layout="by_track", unit=8)
    formats.write(score, tmp_path / "b.abc", notation=notation)
    assert "L:1/8" in (tmp_path / "b.abc").read_text()
    assert formats.read(tmp_path / "b.abc") == formats.read(tmp_path / "a.abc") == project(score, abc.PROJECTION)
