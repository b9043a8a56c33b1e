"""ABC 2.1: our own parser and writer, and the notation that models read.

Reading: :func:`read_tunes` (strict or lenient), :func:`check` (every finding with its line and column). Writing and the
notation: :class:`Abc`.

Where the standard leaves a choice: an accidental holds in its octave, up to the bar line (``%%propagate-accidentals``
changes that); a text without dynamics is at velocity 95 and dynamics are those of tablature (ppp = 15, 31, … fff =
127); grace notes take a 32nd from what comes before them; one voice is one track, unless it says ``merge``.
"""

from cadenza.notation.abc.notation import Abc
from cadenza.notation.abc.problems import Problem
from cadenza.notation.abc.tune import Tune, check, read_tune, read_tunes

__all__ = ["Abc", "Problem", "Tune", "check", "read_tune", "read_tunes"]
