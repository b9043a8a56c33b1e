"""What stands above, below and between the bars: tempo, section names, repeats, endings."""

from __future__ import annotations

from cadenza.formats.musicxml.notes import TYPES
from cadenza.formats.musicxml.xml import attribute, decimal, escape
from cadenza.score.model import Metre, Score
from cadenza.score.time import BarTable


def directions(score: Score, table: BarTable) -> list[list[tuple[int, str]]]:
    """For each bar (tick, element) of what the first part says for all; ``<!offset>`` is to be replaced."""
    out: list[list[tuple[int, str]]] = [[] for _ in range(len(table))]
    for marker in score.markers:
        sign = f"<direction-type><rehearsal>{escape(marker.text)}</rehearsal></direction-type>"
        bar = int(table.index_of(marker.onset_ticks))
        out[bar].append((marker.onset_ticks, f'<direction placement="above">{sign}<!offset></direction>\n'))
    for tempo in score.tempos:
        bar = int(table.index_of(tempo.onset_ticks))
        sign = _metronome(tempo.quarters_per_minute, table.metres[bar])
        sound = f"<sound{attribute('tempo', decimal(tempo.quarters_per_minute))}/>"
        text = f'<direction placement="above">{sign}<!offset>{sound}</direction>\n'
        out[bar].append((tempo.onset_ticks, text))
    for entries in out:
        entries.sort(key=lambda entry: entry[0])
    return out


def _metronome(quarters_per_minute: float, metre: Metre) -> str:
    """The mark in beats of the metre, to a tenth."""
    is_compound = metre.numerator % 3 == 0 and metre.numerator > 3 and metre.denominator >= 8
    value = metre.denominator // 2 if is_compound else 4
    quarters = 4 / value * (1.5 if is_compound else 1)
    said = decimal(round(quarters_per_minute / quarters, 1))
    dot = "<beat-unit-dot/>" if is_compound else ""
    unit = f"<beat-unit>{TYPES.get(value, 'quarter')}</beat-unit>{dot}"
    return f"<direction-type><metronome>{unit}<per-minute>{said}</per-minute></metronome></direction-type>"


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
