"""The grammar of the ABC that the notation writes, as an automaton whose bars add up.

Fields are pieces of the text: joined they are the text again. ::

    text    = X: T: [C:] M: L: [Q:] K: then, a line each, heads and bars
    head    = V:n [ merge | name="…"] newline [%%MIDI channel c newline] %%MIDI program p | %%MIDI channel 10
    bar     = [|:] [ [1 ] { [M:…] [K:…] } music { & music } sign  (& with overlays only; [1 in the first bar only)
    music   = element { space element }                            adds up to the metre
    element = [(p:q:r] [[Q:…]] [!dynamic!] [{graces}] [!accent!] [!trill!] [.] ( note | chord | rest )
    note    = [accidental] letter { octave mark } [length] [-]

Time is counted in 128th notes. The first bar may be shorter than its metre (an upbeat); every other bar is full, in
every voice, whose bars, signs, metres and keys are those of the first voice. Within a tuplet lengths are such that
it ends on a 128th and leaves room for the notes that it still owes, so no choice leads to a bar that cannot be filled.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING

from cadenza.base.errors import NotationError
from cadenza.notation.abc import lengths
from cadenza.notation.abc.arrange import TUPLETS
from cadenza.notation.abc.assembling import DRUM_CHANNEL
from cadenza.notation.abc.fields import (
    ACCIDENTALS,
    DECORATIONS,
    DYNAMIC_FIELDS,
    FINAL_SIGNS,
    HEADER,
    LETTERS,
    MAX_NUMBER,
    MAX_OCTAVE_MARKS,
    MAX_VOICES,
    OPTIONAL,
    SIGNS,
    WHOLE,
)
from cadenza.notation.abc.pitches import ACCIDENTALS as ACCIDENTAL_VALUES
from cadenza.notation.abc.pitches import MAJOR_NAMES, MINOR_NAMES, may_stand_plain
from cadenza.notation.abc.values import parse_metre
from cadenza.notation.abc.voices import pitch_of
from cadenza.notation.grammar import END, NEWLINE, Field, Span

if TYPE_CHECKING:
    from cadenza.notation.abc.notation import Abc

_DECIMAL = re.compile(r"\d{1,6}(\.\d{1,3})?")
_VOLTA = re.compile(r"(\d{1,2}(,\d{1,2})*)?")
_KEYS = frozenset((*MAJOR_NAMES, *MINOR_NAMES))
_TIMES = dict(TUPLETS)
HEAD_PLACES = ("after ", "before ", "head", "named", "sound", "channel", "program")


Prefix = tuple[Field, ...]


class AbcState:
    """A place in a text; see the module.

    Attributes:
        voice: the voice at hand, from 1; 0 before the first.
        bar: its bar, from 0.
        now: steps (128ths) into the bar.
        full: the bar's length in steps; where ``is_open`` it may also be shorter.
    """

    def __init__(self, notation: Abc) -> None:
        self.notation = notation
        self.steps_a_unit = WHOLE // notation.unit
        self.place = "X:"  # what was read last, or where in the text one is
        self.voice = self.n_voices = 0
        self.bar = -1
        self.metre = WHOLE
        self.now = self.full = 0
        self.is_open = False  # the upbeat: the first voice may end the bar early
        self.plan: list[tuple[Prefix, int, Field]] = []  # of the first voice's bars: fields, length, sign
        self.prefix: list[Field] = []
        self.element = ""  # how far the element at hand has come
        self.in_chord = False
        self.marks = 0
        self.letter = ""
        self.numerator = 1
        self.tuplet: lengths.Tuplet | None = None
        self.tuplet_numbers: list[int] = []
        self.overlays_done = False
        self.final = False  # the last sign may be the end

    def copy(self) -> AbcState:
        """An independent state at the same place."""
        other = copy.copy(self)
        other.plan, other.prefix, other.tuplet_numbers = (
            self.plan.copy(),
            self.prefix.copy(),
            self.tuplet_numbers.copy(),
        )
        return other

    # ── lengths ──────────────────────────────────────────────────────────────────────────────────────────

    def _fits(self, steps: int) -> bool:
        """Whether an element of so many steps (before its tuplet's scaling) may stand here."""
        return lengths.fits(steps, self.full - self.now, self.tuplet)

    def _denominators(self, numerator: int) -> tuple[int, ...]:
        """What may stand under ``numerator``, 1 for nothing; in lowest terms only."""
        return lengths.denominators(numerator, self.steps_a_unit, self.full - self.now, self.tuplet)

    def _length_spans(self) -> tuple[Span, ...]:
        """Beginnings of lengths other than that of one unit."""
        return lengths.length_spans(self.steps_a_unit, self.full - self.now, self.tuplet)

    def _end_element(self, steps: int) -> None:
        if self.tuplet is None:
            self.now += steps
            return
        enters, times, owed, done = self.tuplet
        done += steps
        if owed > 1:
            self.tuplet = (enters, times, owed - 1, done)
        else:
            self.now += done * times // enters
            self.tuplet = None

    # ── what may follow ──────────────────────────────────────────────────────────────────────────────────

    def allowed(self) -> list[Span]:
        """What may come next; :data:`~cadenza.notation.grammar.END` where the text may end."""
        kinds = self._kinds()
        out: list[Span] = []
        for kind in kinds:
            if kind == "length":
                out += self._length_spans()
            elif kind == "under":
                out += [Span("/", d, d) for d in self._denominators(self.numerator) if d > 1]
            elif kind == "(":
                out += [Span("(", p, p) for p, q in TUPLETS if self._most(p, q) >= 2]
            elif kind == ":":
                out.append(self._tuplet_span())
            elif kind in ("[V:", "V:"):
                number = self._next_voice(kind)
                out.append(Span(kind, number, number))
            elif kind == "%%MIDI program ":
                out.append(Span(kind, 0, 127))
            elif kind == "%%MIDI channel ":
                out.append(Span(kind, 1, 16))
            else:
                out.append(Span(kind))
        return out

    def _most(self, enters: int, times: int) -> int:
        return (self.full - self.now) // times * enters

    def _tuplet_span(self) -> Span:
        enters = self.tuplet_numbers[0]
        times = _TIMES[enters]
        if len(self.tuplet_numbers) == 1:
            return Span(":", times, times)
        return Span(":", 2, self._most(enters, times))

    def _next_voice(self, kind: str) -> int:
        if kind == "V:":
            return self.n_voices + 1
        return self.voice % self.n_voices + 1

    def _kinds(self) -> list[str]:
        """Kinds of fields that may come next; "length" and "under" stand for the parts of a length."""
        place = self.place
        if place in HEADER:
            return [place]
        if place.startswith("after "):  # a header line
            return [NEWLINE]
        if place.startswith("before "):
            index = HEADER.index(place[7:])
            out = []
            for kind in HEADER[index:]:
                out.append(kind)
                if kind not in OPTIONAL:
                    break
            return out
        if place == "heads":
            by_track = self.notation.layout == "by_track"
            return ["V:"] if by_track or not self.n_voices else ["V:"] * (self.n_voices < MAX_VOICES) + ["[V:"]
        if place == "head":
            merges = [" merge"] if self.notation.voices == "voices" and self.n_voices > 1 else []
            return [' name="', *merges, NEWLINE]
        if place == "named":
            return [NEWLINE]
        if place == "sound":
            return ["%%MIDI program ", "%%MIDI channel "]
        if place in ("sounded", "channel"):
            return [NEWLINE]
        if place == "program":
            return ["%%MIDI program "]
        if place == "inline":
            return ["]"]
        if place == "bar":
            return self._bar_kinds()
        if place == "element":
            return self._element_kinds()
        if place == "signed":
            return self._signed_kinds()
        assert place == "line"
        return self._line_kinds()

    def _bar_kinds(self) -> list[str]:
        """At the start of a bar, before its music."""
        if self.voice > 1:
            wanted = self.plan[self.bar][0]
            if len(self.prefix) < len(wanted):
                return [wanted[len(self.prefix)].kind]
            return self._element_kinds()
        said = [field.kind for field in self.prefix]
        out = ["|:"] if self.bar == 0 and not said else []
        if "[M:" not in said and "[K:" not in said:
            out.append("[M:")
        if "[K:" not in said and self.bar:
            out.append("[K:")
        return out + self._element_kinds()

    def _element_kinds(self) -> list[str]:
        at = self.element
        if at == "tuplet":
            return [":"]
        if at in ("accidental", "letter", "octave", "length", "numerator", "tied", "chord", "graces", "grace"):
            return self._within_note()
        if at in ("overlay", "&"):
            return ["&"] if at == "overlay" else [" "]
        ranks = ("", "in tuplet", "tempo", "dynamic", "graced", *DECORATIONS)
        rank = ranks.index(at)
        out: list[str] = []
        if rank < 1 and self.tuplet is None:
            out.append("(")
            if self.notation.voices == "overlays" and self.is_open and self.now:
                out.append("&")
        if rank < 2 and self.voice == 1 and not self.overlays_done:
            out.append("[Q:1/4=")
        if rank < 3 and self.notation.velocity == "dynamics":
            out += DYNAMIC_FIELDS
        if rank < 4:
            out.append("{")
        out += DECORATIONS[max(0, rank - 4) :] if rank > 4 else DECORATIONS
        out += [*ACCIDENTALS, *LETTERS, "["]
        if rank < 3:
            out.append("z")
        return out

    def _within_note(self) -> list[str]:
        at = self.element
        notes = [*ACCIDENTALS, *LETTERS]
        if at == "accidental":
            return list(LETTERS)
        if at == "graces":
            return notes
        octave = []
        if at in ("letter", "octave", "grace") and self.marks < MAX_OCTAVE_MARKS:
            mark = "'" if self.letter.islower() else ","
            natural = pitch_of(self.letter, mark * (self.marks + 1))[2]
            plain, alteration = self.alteration is None, self.alteration or 0
            fits = may_stand_plain(natural) if plain else 0 <= natural + alteration <= 127
            octave = [mark] if fits else []
        if at == "grace":
            return [*octave, *notes, "}"]
        if self.in_chord:
            if at == "chord":
                return notes
            return octave + (["-"] if at != "tied" else []) + [*notes, "]"]
        out = octave
        unit_fits = self._fits(self.steps_a_unit)
        if at in ("letter", "octave"):
            return [*out, "length", *(self._after(True, self.steps_a_unit) if unit_fits else [])]
        if at == "numerator":
            whole = self._fits(self.numerator * self.steps_a_unit)
            return ["under", *(self._after(True, self.numerator * self.steps_a_unit) if whole else [])]
        return self._after(at == "length", 0)

    def _after(self, may_tie: bool, pending: int) -> list[str]:
        """What may follow an element whose ``pending`` steps are not counted yet (0: they are)."""
        now, tuplet = self.now, self.tuplet
        if pending:
            self._end_element(pending)
        out = ["-"] if may_tie and self.letter != "z" else []
        if self.tuplet is None and self.now == self.full:
            out += self._ends()
        else:
            out.append(" ")
            if self.tuplet is None and self.is_open and self.now:
                out += self._ends(is_short=True)
        self.now, self.tuplet = now, tuplet
        return out

    def _ends(self, is_short: bool = False) -> list[str]:
        signs = [self.plan[self.bar][2].kind] if self.voice > 1 else list(SIGNS)
        overlay = [" "] if self.notation.voices == "overlays" and not is_short else []
        return signs + overlay

    def _signed_kinds(self) -> list[str]:
        out = []
        is_last_voice = self.voice == self.n_voices
        if self.notation.layout == "interleaved":
            if not (is_last_voice and self.last_sign == "|]"):
                out.append(NEWLINE)
            return out + ([END] if is_last_voice and self.final else [])
        done = self.final if self.voice == 1 else self.bar + 1 == len(self.plan)
        more = self.last_sign != "|]" if self.voice == 1 else not done
        return [" "] * more + [NEWLINE] + [END] * done

    def _line_kinds(self) -> list[str]:
        """At the start of a line of the body."""
        if self.notation.layout == "interleaved":
            return ["[V:"]
        done = self.final if self.voice == 1 else self.bar + 1 == len(self.plan)
        more = self.last_sign != "|]" if self.voice == 1 else not done
        out = ["V:"] if done and self.n_voices < MAX_VOICES else []
        if more:
            ahead = self.copy()
            ahead._begin_bar()
            out += ahead._bar_kinds()
        return out

    # ── reading on ───────────────────────────────────────────────────────────────────────────────────────

    def feed(self, field: Field) -> None:
        """Read ``field``.

        Raises:
            NotationError: it may not stand here.
        """
        kind, value = field
        kinds = self._kinds()
        if kind == "" and value:
            possible = "length" in kinds
        elif kind == "/":
            possible = "length" in kinds or "under" in kinds
        else:
            possible = kind in kinds
        if not possible:
            raise NotationError(self._expected(kinds), "a line break" if kind == NEWLINE else repr(str(field)))
        if self.place in HEADER or self.place.startswith(
            ("after ", "before ", "head", "named", "sound", "channel", "program")
        ):
            self._feed_head(kind, value)
        elif self.place == "inline":
            self.place = "voice" if self.prefix and self.prefix[-1].kind == "[V:" else self.returns
            if self.place == "voice":
                self.prefix = []
                self._begin_bar()
        elif self.place == "line":
            self._feed_line(field)
        elif self.place == "signed":
            self._feed_signed(kind)
        else:
            self._feed_music(field)

    def _expected(self, kinds: list[str]) -> str:
        names = {NEWLINE: "a line break", END: "the end", "length": "a length", "under": "a length's part"}
        shown = list(dict.fromkeys(names.get(kind, kind) for kind in kinds))
        return " or ".join(shown[:12]) + (" …" if len(shown) > 12 else "") or "the end"

    def _refuse(self, expected: str, found: str) -> None:
        raise NotationError(expected, repr(found[:40]))

    def _number(self, value: str, low: int, high: int, what: str) -> int:
        if not value.isascii() or not value.isdecimal() or len(value) > 7 or not low <= int(value) <= high:
            self._refuse(f"{what} of {low}–{high}", value)
        return int(value)

    def _feed_head(self, kind: str, value: str) -> None:
        place = self.place
        if kind in HEADER and (place in HEADER or place.startswith("before ")):
            self._check_header(kind, value)
            self.place = "after " + kind
        elif place.startswith("after "):
            index = HEADER.index(place[6:]) + 1
            self.place = "before " + HEADER[index] if index < len(HEADER) else "heads"
        elif kind == "V:":
            self._begin_head(value)
        elif kind == "[V:":
            self._begin_voice(value)
        elif kind in (' name="', " merge"):
            if kind != " merge" and (not value.endswith('"') or '"' in value[:-1]):
                self._refuse('a name that ends with "', value)
            self.place = "named"
        elif place in ("head", "named"):
            self.place = "sound"
        elif place == "sound" and "channel" in kind:
            number = self._number(value, 1, 16, "a channel")
            self.place = "sounded" if number == DRUM_CHANNEL else "channel"
        elif place in ("sound", "program"):
            self._number(value, 0, 127, "a program")
            self.place = "sounded"
        elif place == "channel":
            self.place = "program"
        elif self.notation.layout == "interleaved":
            self.place = "heads"
        else:
            self.voice, self.bar = self.n_voices, -1
            self._begin_bar()

    def _check_header(self, kind: str, value: str) -> None:
        if kind == "X:":
            self._number(value, 0, MAX_NUMBER, "a tune's number")
        elif kind == "M:":
            self._set_metre(value)
        elif kind == "L:" and value != f"1/{self.notation.unit}":
            self._refuse(f"1/{self.notation.unit}", value)
        elif kind == "Q:1/4=" and not (_DECIMAL.fullmatch(value) and float(value) > 0):
            self._refuse("a tempo such as 120", value)
        elif kind == "K:" and value != "none" and value not in _KEYS:
            self._refuse("a key such as C, F#m or none", value)

    def _set_metre(self, value: str) -> None:
        try:
            metre = parse_metre(value)
        except ValueError:
            metre = None
        if metre is None or "/" not in value or WHOLE * metre[0] % metre[1]:
            self._refuse("a metre such as 4/4", value)
        assert metre is not None
        self.metre = WHOLE * metre[0] // metre[1]

    def _begin_head(self, value: str) -> None:
        self._number(value, self.n_voices + 1, self.n_voices + 1, "a voice")
        self.n_voices += 1
        self.place = "head"

    def _begin_voice(self, value: str) -> None:
        wanted = self._next_voice("[V:")
        self._number(value, wanted, wanted, "a voice")
        self.voice = wanted
        if wanted == 1:
            self.bar += 1
        self.bar -= 1  # _begin_bar counts
        self.prefix = [Field("[V:", value)]
        self.place = "inline"

    def _begin_bar(self) -> None:
        self.bar += 1
        self.now, self.tuplet, self.element, self.overlays_done = 0, None, "", False
        self.prefix, self.letter, self.in_chord = [], "", False
        if self.voice > 1 and self.bar < len(self.plan):
            self.full = self.plan[self.bar][1]
            self.is_open = False
        else:
            self.full = self.metre
            self.is_open = self.bar == 0
        self.place = "bar"

    def _feed_line(self, field: Field) -> None:
        if field.kind == "[V:":
            self._begin_voice(field.value)
        elif field.kind == "V:":
            self._begin_head(field.value)
        else:
            self._begin_bar()
            self._feed_music(field)

    def _feed_signed(self, kind: str) -> None:
        if kind == NEWLINE:
            self.place = "line"
        else:
            self._begin_bar()

    def _feed_music(self, field: Field) -> None:
        kind, value = field
        if self.place == "bar":
            if (kind in ("|:", "[M:", "[K:") or (kind == "[" and value)) and self.element == "":
                self._feed_prefix(field)
                return
            self.place = "element"
        if kind in SIGNS:
            self._settle()
            self._feed_sign(field)
        elif kind == " ":
            self._settle()
            ends = self.tuplet is None and self.now == self.full
            self.element = "" if not ends else "overlay"
            if ends:
                self.place = "element"
        elif kind == "[Q:1/4=":
            if not _DECIMAL.fullmatch(value) or not float(value) > 0:
                self._refuse("a tempo such as 120", value)
            self.element, self.place, self.returns = "tempo", "inline", "element"
        elif kind == "(":
            self.tuplet_numbers = [self._number(value, 3, 15, "a tuplet")]
            enters = self.tuplet_numbers[0]
            if enters not in _TIMES or self._most(enters, _TIMES[enters]) < 2:
                self._refuse("a tuplet that the bar has room for", f"({value}")
            self.element = "tuplet"
        elif kind == ":":
            span = self._tuplet_span()
            self.tuplet_numbers.append(self._number(value, span.low, span.high, "a number of the tuplet"))
            if len(self.tuplet_numbers) == 3:
                enters, times, count = self.tuplet_numbers
                self.tuplet, self.element = (enters, times, count, 0), "in tuplet"
        elif kind in DYNAMIC_FIELDS:
            self.element = "dynamic"
        elif kind in DECORATIONS and self.element not in ("graces", "grace"):
            self.element = kind
        else:
            self._feed_note(field)

    def _feed_prefix(self, field: Field) -> None:
        kind, value = field
        if self.voice > 1 and field != self.plan[self.bar][0][len(self.prefix)]:
            self._refuse(f"{self.plan[self.bar][0][len(self.prefix)]} as in the first voice", str(field))
        if kind == "[M:":
            self._set_metre(value)
            if self.voice == 1:
                self.full = self.metre
        elif kind == "[K:" and value not in _KEYS:
            self._refuse("a key such as C or F#m", value)
        elif kind == "|:" and value:
            self._refuse("|: without an ending", str(field))
        elif kind == "[" and (self.bar or any(one.kind != "|:" for one in self.prefix) or not _VOLTA.fullmatch(value)):
            self._refuse("an ending such as [1 where the music begins, or a chord", str(field))
        self.prefix.append(field)
        if kind not in ("|:", "["):
            self.place, self.returns = "inline", "bar"

    def _feed_note(self, field: Field) -> None:
        kind, value = field
        if kind == "{":
            self.element = "graces"
        elif kind == "}":
            self.element = "graced"
        elif kind == "&":
            self.full = self.now  # an upbeat ends where its first voice does
            self.now, self.element, self.overlays_done, self.is_open = 0, "&", True, False
        elif kind in ACCIDENTALS:
            self.in_grace = self.element in ("graces", "grace")
            self.alteration, self.element = ACCIDENTAL_VALUES[kind], "accidental"
        elif kind in LETTERS:
            if self.element != "accidental":
                self.in_grace = self.element in ("graces", "grace")
                self.alteration = None
            self.letter, self.marks = kind, 0
            self.element = "grace" if self.in_grace else "letter"
        elif kind in (",", "'"):
            self.marks += 1
            if self.element != "grace":
                self.element = "octave"
        elif kind == "z":
            self.letter, self.marks, self.element = "z", MAX_OCTAVE_MARKS, "letter"
        elif kind == "[":
            if value:
                self._refuse("a chord's note", value)
            self.in_chord, self.element = True, "chord"
        elif kind == "]":
            self.in_chord, self.marks, self.element = False, MAX_OCTAVE_MARKS, "letter"
        elif kind == "-":
            if not self.in_chord:
                self._settle()
            self.element = "tied"
        elif kind == "":
            self.numerator = self._number(value, 2, MAX_NUMBER, "a length")
            if not self._denominators(self.numerator):
                self._refuse("a length that fits the bar", value)
            self.element = "numerator"
        else:
            under = self._denominators(self.numerator if self.element == "numerator" else 1)
            denominator = self._number(value, 2, self.steps_a_unit, "a denominator")
            if denominator not in under:
                self._refuse("a length that fits the bar", str(field))
            numerator = self.numerator if self.element == "numerator" else 1
            self._end_element(numerator * self.steps_a_unit // denominator)
            self.element = "length"

    def _settle(self) -> None:
        """Count the element at hand, if its length is not counted yet."""
        if self.element in ("letter", "octave"):
            self._end_element(self.steps_a_unit)
        elif self.element == "numerator":
            self._end_element(self.numerator * self.steps_a_unit)

    def _feed_sign(self, field: Field) -> None:
        if not _VOLTA.fullmatch(field.value) or (field.value and field.kind not in ("|", ":|", "|:", "::")):
            self._refuse("an ending such as 1 or 1,2", field.value)
        if self.voice == 1:
            self.plan.append((tuple(self.prefix), self.now, field))
        elif field != self.plan[self.bar][2]:
            self._refuse(f"{self.plan[self.bar][2]} as in the first voice", str(field))
        self.last_sign = field.kind
        self.final = field.kind in FINAL_SIGNS and not field.value
        self.element, self.place = "", "signed"

    last_sign = ""
    returns = ""
    in_grace = False
    alteration: int | None = 0  # of the note at hand; None where it has no accidental
