"""A bar is drawn, looked at, and where something speaks against it drawn again from where it began.

What was refused is made unlikely and chance given more room (:class:`~cadenza.infer.choose.Refused`). After the last
try the bar stays, and it is said why it should not have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from cadenza.infer.choose import Chooser, Refused
from cadenza.infer.rows import Writing


class Hand(Protocol):
    """What writes bars and can go back to a bar line.

    Attributes:
        chooser: draws its tokens.
    """

    chooser: Chooser

    def go_back(self, place: Any) -> Writing[None]:
        """Forget what was written since a place."""
        ...


class Tally(Protocol):
    """What is counted; see :class:`cadenza.infer.write.Written`."""

    n_drawn: int
    refused: dict[str, int]
    kept_against: dict[str, int]


def settle(
    hand: Hand,
    place: Any,
    max_redraws: int,
    tally: Tally,
    draw: Callable[[Refused], Writing[Sequence[int]]],
    against: Callable[[], str],
) -> Writing[None]:
    """Draw a bar until nothing speaks against it.

    Args:
        place: of the hand, where the bar begins; its window is marked there.
        max_redraws: then the bar stays.
        draw: writes the bar; its tokens.
        against: why what was written last is refused; empty where it is not.
    """
    refused, before = Refused(), hand.chooser.log2_likelihood
    while True:
        drawn = hand.chooser.n_tokens
        ids = yield from draw(refused)
        reason = against()
        if not reason:
            break
        if len(refused.bars) == max_redraws:
            tally.kept_against[reason] = tally.kept_against.get(reason, 0) + 1
            break
        tally.refused[reason] = tally.refused.get(reason, 0) + 1
        refused = refused.also(ids)
        hand.chooser.log2_likelihood = before
        yield from hand.go_back(place)
    tally.n_drawn += hand.chooser.n_tokens - drawn
