"""What stands above, below and between the bars: tempo, section names, texts, dynamics, chords, repeats, jumps.

An element holds ``<!place>`` where its offset, voice and staff are to be put.
"""

from __future__ import annotations

from cadenza.formats.musicxml import signs
from cadenza.formats.musicxml.notes import TYPES
from cadenza.formats.musicxml.xml import attribute, decimal, escape
from cadenza.score.model import Metre, Score, Track
from cadenza.score.time import BarTable
from cadenza.score.written import Mark

#: (tick, voice, element)
Spoken = tuple[int, int, str]


def of_score(score: Score, table: BarTable) -> list[list[Spoken]]:
    """For each bar what the first part says for all."""
    out: list[list[Spoken]] = [[] for _ in range(len(table))]

    def say(bar: int, tick: int, sign: str, sound: str = "") -> None:
        kind = f"<direction-type>{sign}</direction-type>"
        out[bar].append((tick, 0, f'<direction placement="above">{kind}<!place>{sound}</direction>\n'))

    for bar, mark in enumerate(table.marks):
        for name in mark.directions if mark else ():
            if name in signs.JUMP_WORDS:
                where, sign = int(table.ends_ticks[bar]), f"<words>{signs.JUMP_WORDS[name]}</words>"
            else:
                where, sign = int(table.starts_ticks[bar]), f"<{'segno' if 'segno' in name else 'coda'}/>"
            say(bar, where, sign, _jump_sound(name))
    for marker in score.markers:
        bar = int(table.index_of(marker.onset_ticks))
        say(bar, marker.onset_ticks, f"<rehearsal>{escape(marker.text)}</rehearsal>")
    for tempo in score.tempos:
        bar = int(table.index_of(tempo.onset_ticks))
        sound = f"<sound{attribute('tempo', decimal(tempo.quarters_per_minute))}/>"
        say(bar, tempo.onset_ticks, _metronome(tempo.quarters_per_minute, table.metres[bar]), sound)
    return out


def _jump_sound(name: str) -> str:
    """The sound element of a place or jump."""
    if name == "fine" or name.startswith("da-capo"):
        return '<sound fine="yes"/>' if name == "fine" else '<sound dacapo="yes"/>'
    if not name.startswith("da-"):
        return f"<sound{attribute('segno' if 'segno' in name else 'coda', name)}/>"
    if name in ("da-coda", "da-double-coda"):
        return f"<sound{attribute('tocoda', name[3:])}/>"
    return f"<sound{attribute('dalsegno', 'segno-segno' if name.startswith('da-segno-segno') else 'segno')}/>"


def _metronome(quarters_per_minute: float, metre: Metre) -> str:
    """The mark in beats of the metre, to a tenth."""
    is_compound = metre.numerator % 3 == 0 and metre.numerator > 3 and metre.denominator >= 8
    value = metre.denominator // 2 if is_compound else 4
    quarters = 4 / value * (1.5 if is_compound else 1)
    said = decimal(round(quarters_per_minute / quarters, 1))
    dot = "<beat-unit-dot/>" if is_compound else ""
    unit = f"<beat-unit>{TYPES.get(value, 'quarter')}</beat-unit>{dot}"
    return f"<metronome>{unit}<per-minute>{said}</per-minute></metronome>"


def of_track(track: Track, table: BarTable) -> list[list[Spoken]]:
    """For each bar what a part says for itself."""
    out: list[list[Spoken]] = [[] for _ in range(len(table))]
    for mark in track.marks:
        sign, side = _sign(mark)
        if not sign:
            continue
        bar = int(table.index_of(mark.onset_ticks))
        if mark.kind == "chord":
            text = f"<harmony>{sign}<!place></harmony>\n"
        else:
            kind = f"<direction-type>{sign}</direction-type>"
            text = f'<direction placement="{side}">{kind}<!place></direction>\n'
        out[bar].append((mark.onset_ticks, mark.voice, text))
    return out


def _sign(mark: Mark) -> tuple[str, str]:
    """(element, side) of a mark that stands at a time; ("", "") for others."""
    if mark.kind == "text":
        return f"<words>{escape(mark.text)}</words>", "above"
    if mark.kind == "chord":
        return _harmony(mark.text), ""
    if mark.kind == "dynamic":
        is_known = mark.text in signs.DYNAMICS
        sign = f"<{mark.text}/>" if is_known else f"<other-dynamics>{escape(mark.text)}</other-dynamics>"
        return f"<dynamics>{sign}</dynamics>", "below"
    if mark.kind == "crescendo":
        name = {1: "crescendo", -1: "diminuendo", 0: "stop"}[mark.values[0]]
        return f'<wedge type="{name}"/>', "below"
    if mark.kind == "pedal":
        return f'<pedal type="{"start" if mark.values[0] else "stop"}"/>', "below"
    return "", ""


def _harmony(name: str) -> str:
    found = signs.CHORD_NAME.fullmatch(name)
    if not found:
        return f"<function>{escape(name)}</function><kind>none</kind>"
    root, sign, suffix, bass, bass_sign = (part or "" for part in found.groups())
    kind = signs.KIND_OF.get(suffix, "other")
    lower = _step("bass", bass, bass_sign) if bass else ""
    return f"{_step('root', root, sign)}<kind{attribute('text', suffix)}>{kind}</kind>{lower}"


def _step(name: str, step: str, sign: str) -> str:
    alter = f"<{name}-alter>{signs.ALTERS[sign]}</{name}-alter>" if sign else ""
    return f"<{name}><{name}-step>{step}</{name}-step>{alter}</{name}>"


def bar_lines(table: BarTable) -> list[tuple[str, str]]:
    """(left, right) barline elements of each bar."""
    out = []
    marks = table.marks
    for bar, mark in enumerate(marks):
        endings = mark.endings if mark else ()
        before = marks[bar - 1] if bar else None
        after = marks[bar + 1] if bar + 1 < len(marks) else None
        begins = endings and not (before and before.endings == endings and not before.repeat_close)
        stops = endings and not (after and after.endings == endings and not (mark and mark.repeat_close))
        numbers = attribute("number", ", ".join(map(str, endings)))
        left = f'<ending{numbers} type="start"/>' if begins else ""
        left += '<repeat direction="forward"/>' if mark and mark.repeat_open else ""
        right = f'<ending{numbers} type="stop"/>' if stops else ""
        if mark and mark.repeat_close:
            right += f'<repeat direction="backward" times="{mark.repeat_close}"/>'
        style = "light-heavy" if (mark and mark.repeat_close) or bar == len(marks) - 1 else ""
        head = "<bar-style>heavy-light</bar-style>" if mark and mark.repeat_open else ""
        tail = f"<bar-style>{style}</bar-style>" if style else ""
        out.append(
            (
                f'<barline location="left">{head}{left}</barline>\n' if left else "",
                f'<barline location="right">{tail}{right}</barline>\n' if right or tail else "",
            )
        )
    return out
