"""How GPIF names things, as tables; both the reader and the writer look here.

Facts of the format, found in files that Guitar Pro 6, 7 and 8 wrote and compared with what alphaTab reads in them.
"""

from __future__ import annotations

import re

from cadenza.score.model import HARMONICS as HARMONIC_BITS
from cadenza.score.model import Technique
from cadenza.score.rhythm import QUARTER, WHOLE
from cadenza.score.written import DIRECTIONS, TARGETS

NOTE_PROPERTIES: dict[str, Technique] = {
    "Muted": Technique.DEAD,
    "PalmMuted": Technique.PALM_MUTE,
    "HopoOrigin": Technique.HAMMER,
    "Tapped": Technique.TAP,
}
SLIDES: dict[int, Technique] = {
    1: Technique.SLIDE_SHIFT,
    2: Technique.SLIDE_LEGATO,
    4: Technique.SLIDE_OUT_DOWN,
    8: Technique.SLIDE_OUT_UP,
    16: Technique.SLIDE_IN_BELOW,
    32: Technique.SLIDE_IN_ABOVE,
}
PICK_SLIDES = {64: 2, 128: 1}  # flag → direction (1 up, 2 down)
HARMONICS: dict[str, Technique] = {
    "natural": Technique.HARMONIC_NATURAL,
    "artificial": Technique.HARMONIC_ARTIFICIAL,
    "tap": Technique.HARMONIC_TAPPED,
    "pinch": Technique.HARMONIC_PINCH,
    "semi": Technique.HARMONIC_SEMI,
    "feedback": Technique.HARMONIC_SEMI,  # a Score has no own name for it
}
ACCENTS: dict[int, Technique] = {1: Technique.STACCATO, 4: Technique.HEAVY_ACCENT, 8: Technique.ACCENT}
TENUTO = 16
DYNAMICS = {name: 15 + 16 * level for level, name in enumerate(("PPP", "PP", "P", "MP", "MF", "F", "FF", "FFF"))}
GRACES = {"OnBeat": 1, "BeforeBeat": 2}
TREMOLOS = {"1/2": 8, "1/4": 16, "1/8": 32}  # strokes of a quarter → their note value
ORNAMENTS = {
    "UpperMordent": "inverted-mordent",
    "LowerMordent": "mordent",
    "Turn": "turn",
    "InvertedTurn": "inverted-turn",
}  # as MusicXML names them
FINGERS = {"Open": -1, "P": 0, "I": 1, "M": 2, "A": 3, "C": 4}
BEAT_MARKS: dict[str, dict[str, tuple[str, tuple[int, ...]]]] = {
    "Fadding": {"FadeIn": ("fade", (1,)), "FadeOut": ("fade", (2,)), "VolumeSwell": ("fade", (3,))},
    "Arpeggio": {"Up": ("arpeggio", (1,)), "Down": ("arpeggio", (2,))},
    "Hairpin": {"Crescendo": ("crescendo", (1,)), "Decrescendo": ("crescendo", (-1,))},
    "Ottavia": {
        "8va": ("ottava", (1,)),
        "8vb": ("ottava", (-1,)),
        "15ma": ("ottava", (2,)),
        "15mb": ("ottava", (-2,)),
    },
    "Wah": {"Open": ("wah", (1,)), "Closed": ("wah", (0,))},
    "Golpe": {"Finger": ("golpe", (1,)), "Thumb": ("golpe", (2,))},
}
BEAT_MARK_VALUES = {  # the same by kind: values → (element, text)
    kind: {values: (tag, text) for tag, said in BEAT_MARKS.items() for text, (k, values) in said.items() if k == kind}
    for kind in ("fade", "arpeggio", "crescendo", "ottava", "wah", "golpe")
}
ORNAMENT_NAMES = {name: text for text, name in ORNAMENTS.items()}
FINGER_NAMES = {finger: name for name, finger in FINGERS.items()}
STROKE_SPEEDS, TRILL_SPEEDS = (4, 8, 16, 32, 64, 128), (4, 8, 16, 32, 64, 128)
DIRECTION_NAMES = {re.sub(r"(?:^|-)(.)", lambda m: m[1].upper(), name): name for name in DIRECTIONS}
TARGET_NAMES = frozenset(name for name, ours in DIRECTION_NAMES.items() if ours in TARGETS)
TEMPO_UNITS = {1: 0.5, 2: 1.0, 3: 1.5, 4: 2.0, 5: 3.0}  # quarters in the unit that is counted
BRUSH_SPEED, TRILL_SPEED = "687935489", "688062467"  # XProperties, in ticks
TICKS_OF_A_SIXTEENTH = QUARTER // 4
NOTE_VALUES = {
    "Long": 4 * WHOLE,
    "DoubleWhole": 2 * WHOLE,
    "Whole": WHOLE,
    "Half": WHOLE // 2,
    "Quarter": QUARTER,
    "Eighth": QUARTER // 2,
    **{name: WHOLE // value for name, value in (("16th", 16), ("32nd", 32), ("64th", 64), ("128th", 128))},
    "256th": WHOLE // 256,
}
STEPS = {step: place for place, step in enumerate("FCGDAEB", -1)}  # places on the line of fifths
ACCIDENTALS = {"bb": -2, "b": -1, "": 0, "#": 1, "x": 2}
# Fret of a node (as Guitar Pro's menu offers it) → semitones from the open string to the partial that it gives.
NODES = {
    2.4: 36, 2.7: 34, 3.2: 31, 4.0: 28, 5.0: 24, 5.8: 34, 7.0: 19, 8.2: 36, 9.0: 28, 9.6: 34, 12.0: 12, 14.7: 34,
    16.0: 28, 17.0: 36, 19.0: 19, 21.7: 36, 24.0: 24,
}  # fmt: skip
NODE_REACH = 0.5

# Where a tied note's technique is written if nothing says otherwise: at the end of the chain, on every link, or
# (others) at its start.
AT_THE_END = (
    Technique.HAMMER
    | Technique.SLIDE_SHIFT
    | Technique.SLIDE_LEGATO
    | Technique.SLIDE_OUT_DOWN
    | Technique.SLIDE_OUT_UP
)
THROUGHOUT = Technique.LET_RING | Technique.VIBRATO | Technique.PALM_MUTE
#: Techniques that only the first link of a chain can have.
OF_THE_FIRST = HARMONIC_BITS | Technique.TAP | Technique.SLAP | Technique.POP | Technique.DEAD | Technique.GRACE


def usual_bits(techniques: Technique, is_first: bool, is_last: bool) -> Technique:
    """The techniques that are written at a link of a chain of tied notes where no mark says otherwise."""
    written = techniques & THROUGHOUT
    if is_first:
        written |= techniques & ~AT_THE_END
    if is_last:
        written |= techniques & AT_THE_END
    return written


def note_value(ticks: int) -> int:
    """The note value (4 … 128) nearest to ``ticks``."""
    return min((4, 8, 16, 32, 64, 128), key=lambda value: abs(value - WHOLE / max(ticks, 1)))


def partial(touched: float) -> int:
    """Semitones from the open string to what sounds when it is touched at a fret; 0 where there is no node."""
    node = min(NODES, key=lambda place: abs(place - touched))
    return NODES[node] if abs(node - touched) <= NODE_REACH else 0


def node(above: int, fret: int) -> float:
    """The fret to touch for the partial ``above`` semitones over the open string; the nearest to ``fret``."""
    return min((place for place, partial in NODES.items() if partial == above), key=lambda place: abs(place - fret))
