"""The text that the notation writes, taken apart into fields; and those that models get as whole tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cadenza.base.errors import NotationError
from cadenza.notation.abc.arrange import TUPLETS
from cadenza.notation.abc.pitches import MAJOR_NAMES, MINOR_NAMES
from cadenza.notation.grammar import NEWLINE, Field

if TYPE_CHECKING:
    from cadenza.notation.abc.notation import Abc

WHOLE = 128  # steps of a whole note
MAX_OCTAVE_MARKS = 6
MAX_VOICES = 512
MAX_NUMBER = 10**6
ACCIDENTALS = ("^^", "^", "__", "_", "=")
LETTERS = tuple("CDEFGABcdefgab")
SIGNS = ("|]", "||", "|:", ":|", "::", "|")
FINAL_SIGNS = ("|]", ":|")
DYNAMIC_FIELDS = tuple(f"!{name}!" for name in ("ppp", "pp", "p", "mp", "mf", "f", "ff", "fff"))
DECORATIONS = ("!accent!", "!trill!", '"^tr"', ".")
HEADER = ("X:", "T:", "C:", "M:", "L:", "Q:1/4=", "K:")
OPTIONAL = ("C:", "Q:1/4=")
_BODY = re.compile(
    r"(?P<inline>\[V:|\[M:|\[K:|\[Q:1/4=)(?P<value>[^\]\n]*)|(?P<sign>\|\]|\|\||\|:|:\||::|\|)(?P<volta>[\d,]*)"
    r"|(?P<opening>\[)(?P<first>\d[\d,]*)|(?P<number>\d+)|(?P<slash>/)(?P<denominator>\d*)|(?P<tuplet>[(:])(?P<count>\d*)"
    r"|(?P<plain>\^\^|__|![a-z]{1,12}!|\x22\^tr\x22|[\^_=A-Ga-g,'z\-\[\]{}. &])"
)
_LINE = re.compile(
    r'(X:|T:|C:|M:|L:|Q:1/4=|K:|%%MIDI program |%%MIDI channel )(.*)|V:(\d+)(?:( merge)|( name=")(.*"))?'
)


def fields_of(text: str) -> Iterator[Field]:
    """The fields of ``text``; joined, they are the text again.

    Raises:
        NotationError: something that this notation never writes.
    """
    for number, line in enumerate(text.split("\n")):
        if number:
            yield Field(NEWLINE, "")
        match = _LINE.fullmatch(line)
        if match is not None:
            if match[1]:
                yield Field(match[1], match[2])
                continue
            yield Field("V:", match[3])
            if match[4]:
                yield Field(match[4], "")
            elif match[5]:
                yield Field(match[5], match[6])
            continue
        at = 0
        while at < len(line):
            found = _BODY.match(line, at)
            if found is None:
                raise NotationError(
                    "a field of ABC", repr(line[at : at + 20]), where=f"line {number + 1}, column {at + 1}"
                )
            kind = found.lastgroup
            if kind == "plain":
                yield Field(found[0], "")
            elif kind == "number":
                yield Field("", found[0])
            elif kind == "value":
                yield Field(found["inline"], found["value"])
            elif kind == "volta":
                yield Field(found["sign"], found["volta"])
            elif kind == "first":
                yield Field("[", found["first"])
            elif kind == "denominator":
                yield Field("/", found["denominator"])
            else:
                yield Field(found["tuplet"], found["count"])
            at = found.end()


def vocabulary(notation: Abc) -> list[str]:
    """Every field of the form used with models, as strings."""
    out = ["\n", "X:1", "T:", f"L:1/{notation.unit}", "K:none"]
    out += [f"M:{n}/{d}" for d in (2, 4, 8, 16) for n in range(1, 17)]
    out += [f"Q:1/4={tempo}" for tempo in range(40, 241, 4)]
    out += [f"K:{name}" for name in (*MAJOR_NAMES, *MINOR_NAMES)]
    out += [f"V:{n}" for n in range(1, 33)] + ([] if notation.voices == "overlays" else [" merge"])
    out += [f"%%MIDI program {n}" for n in range(128)] + [f"%%MIDI channel {n}" for n in range(1, 17)]
    out += [f"[V:{n}" for n in range(1, 33)] if notation.layout == "interleaved" else []
    out += [f"[M:{n}/{d}" for d in (2, 4, 8, 16, 32, 64) for n in range(1, 17)]
    out += [f"[K:{name}" for name in (*MAJOR_NAMES, *MINOR_NAMES)]
    out += [f"[Q:1/4={tempo}" for tempo in range(40, 241, 4)]
    out += list(SIGNS) + [sign + volta for sign in ("|", ":|") for volta in ("1", "2", "3")]
    out += [*ACCIDENTALS, *LETTERS, ",", "'", "z", "-", "[", "]", "{", "}", " "]
    out += ["&"] if notation.voices == "overlays" else []
    out += [f"({enters}" for enters, _ in TUPLETS] + [f":{n}" for n in range(1, 33)]
    out += [str(n) for n in range(1, 129)] + [f"/{d}" for d in (2, 4, 8, 16, 32) if d * notation.unit <= WHOLE]
    out += list(DECORATIONS) + (list(DYNAMIC_FIELDS) if notation.velocity == "dynamics" else [])
    return out
