"""The law of formats for MusicXML: ``read(write(s)) == project(s, PROJECTION)``, for any score."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from cadenza.formats import musicxml
from cadenza.score.edit import project
from cadenza.score.model import Score
from tests.strategies import examples, scores
from tests.written_strategies import written_scores

QUICK = settings(
    max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def there_and_back(score: Score, view: str = "tab") -> Score:
    return musicxml.parse(musicxml.encode(score, view=view).encode())[0]


@QUICK
@given(scores(max_tracks=3))
def test_law(score: Score) -> None:
    projected = project(score, musicxml.PROJECTION)
    assert there_and_back(score) == projected
    assert project(projected, musicxml.PROJECTION) == projected


@QUICK
@given(written_scores())
def test_law_of_written_scores(score: Score) -> None:
    projected = project(score, musicxml.PROJECTION)
    assert there_and_back(score) == projected
    assert project(projected, musicxml.PROJECTION) == projected
