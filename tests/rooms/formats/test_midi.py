"""MIDI semantics in small files written by hand, against mido's independent reading, and on all shared files."""

from __future__ import annotations

import io
from collections import defaultdict, deque
from pathlib import Path

import mido
import numpy as np
import pytest

from cadenza import formats
from cadenza.base.errors import FormatError, LimitError
from cadenza.base.limits import Limits
from cadenza.formats import midi
from cadenza.score.model import CONTROL_DTYPE, Bend, Key, Marker, Metre, Note, Score, Tempo, Track

END = "00 ff 2f 00"


def smf(*bodies: str, kind: int = 1, division: int = 480, n: int | None = None) -> bytes:
    """A file from MTrk bodies in hexadecimal."""
    header = b"".join(i.to_bytes(2, "big") for i in (kind, len(bodies) if n is None else n, division))
    chunks = [b"MTrk" + len(b).to_bytes(4, "big") + b for b in map(bytes.fromhex, bodies)]
    return b"MThd\0\0\0\6" + header + b"".join(chunks)


def only_track(*bodies: str, **options: int) -> Track:
    (track,) = midi.decode(smf(*bodies, **options)).tracks
    return track


def rows(track: Track) -> list[tuple[int, int, int, int]]:
    return [(n.onset_ticks, n.duration_ticks, n.pitch, n.velocity) for n in track]


def bends(track: Track, row: int = 0) -> list[tuple[int, int]]:
    return [(b.offset_ticks, b.cents) for b in track.bends_of(row)]


def test_note_offs_are_paired_first_in_first_out_and_velocity_0_is_an_off() -> None:
    track = only_track("00 90 3c 40 0a 3c 50 0a 3c 00 0a 80 3c 40 " + END)
    assert rows(track) == [(0, 20, 60, 64), (10, 20, 60, 80)]


def test_an_open_note_ends_with_its_track() -> None:
    assert rows(only_track("00 90 3c 40 64 ff 2f 00")) == [(0, 100, 60, 64)]


def test_channels_of_one_program_in_one_chunk_are_one_track_and_a_new_program_is_another() -> None:
    body = "00 c0 19 00 c1 19 00 90 3c 40 00 91 40 40 0a 80 3c 00 00 81 40 00 00 c0 1e 00 90 3c 40 0a 80 3c 00 " + END
    score = midi.decode(smf(body))
    assert [(t.program, rows(t)) for t in score.tracks] == [
        (25, [(0, 10, 60, 64), (0, 10, 64, 64)]),
        (30, [(10, 10, 60, 64)]),
    ]
    assert [len(t) for t in midi.decode(smf(body, kind=0)).tracks] == [1, 1, 1]


def test_channel_10_is_drums_and_a_program_without_notes_is_an_empty_track() -> None:
    score = midi.decode(smf("00 ff 03 01 54 " + END, "00 ff 03 01 41 00 c9 08 " + END, "00 c0 05 " + END, END))
    assert score.title == "T"
    assert [(t.name, t.program, t.is_drums, len(t)) for t in score.tracks] == [("A", 8, True, 0), ("", 5, False, 0)]


def test_a_wheel_jump_is_two_points_and_an_offset_start_is_one() -> None:
    track = only_track("00 90 3c 40 0a e0 00 60 0a e0 00 40 0a 80 3c 00 00 e0 00 00 00 90 3e 40 0a 80 3e 00 " + END)
    assert bends(track) == [(9, 0), (10, 100), (19, 100), (20, 0)]
    assert bends(track, 1) == [(0, -200)]


def test_a_jump_at_the_first_tick_needs_the_point_at_the_onset() -> None:
    track = only_track("00 90 3c 40 01 e0 00 60 01 e0 00 50 0a 80 3c 00 " + END)
    assert bends(track) == [(0, 0), (1, 100), (2, 50)]


def test_the_wheel_range_follows_its_parameter_and_its_controllers_go() -> None:
    setting = "00 b0 65 00 00 64 00 00 06 0c 00 26 32 00 65 7f 00 64 7f 00 06 03 00 07 64 "
    track = only_track(setting + "00 e0 00 60 00 90 3c 40 0a 80 3c 00 " + END)
    assert bends(track) == [(0, 625)]
    assert track.controls.tolist() == [(0, 7, 100)]


def test_reset_all_controllers_centres_the_wheel_and_drums_ignore_it() -> None:
    track = only_track("00 e0 00 60 00 b0 79 00 00 90 3c 40 0a 80 3c 00 " + END)
    assert bends(track) == []
    assert not len(only_track("00 e9 00 60 00 99 24 40 0a 89 24 00 " + END).bends)


def test_maps_title_names_and_length() -> None:
    conductor = (
        "00 ff 51 03 07 a1 20 00 ff 58 04 06 03 18 08 00 ff 59 02 fd 01 00 ff 59 02 20 00 00 ff 58 04 00 02 18 08"
        " 83 60 ff 06 01 42 00 ff 51 03 00 00 00 81 00 ff 2f 00"
    )
    score = midi.decode(smf(conductor, "00 ff 03 02 e9 41 00 c0 00 00 ff 06 01 42 " + END, division=96))
    assert score.ticks_per_quarter == 96
    assert score.tempos == (Tempo(0, 120.0),)
    assert score.metres == (Metre(0, 6, 8),)
    assert score.keys == (Key(0, -3, "minor"),)
    assert score.markers == (Marker(0, "B"), Marker(480, "B"))
    assert score.tracks[0].name == "éA"
    assert score.length_ticks == 608


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "MThd"),
        (b"RIFF" + bytes(20), "MThd"),
        (smf(END)[:10], "header"),
        (smf(END, kind=2), "format 2"),
        (smf(END, division=0), "ticks per quarter"),
        (smf(END, division=0xE728), "25 a second"),
        (smf(END, n=2), "2 tracks"),
        (smf(END)[:-1], "chunk of 4 bytes"),
        (smf("00 3c 40"), "none running"),
        (smf("00 90 3c"), "end of the track"),
        (smf("00 90 3c 80 00"), "status byte"),
        (smf("ff ff ff ff 7f 90 3c 40"), "four bytes"),
        (smf("00 ff 01 ff ff ff 7f 00"), "bytes"),
        (smf("00 f4"), "0xf4"),
    ],
)
def test_damage_is_a_format_error_that_says_what_was_expected(data: bytes, says: str) -> None:
    with pytest.raises(FormatError, match=says):
        midi.decode(data)


@pytest.mark.parametrize(
    ("limits", "data"),
    [
        (Limits(notes=1), smf("00 90 3c 40 00 3d 40 " + END)),
        (Limits(events=1), smf("00 b0 07 40 00 07 40 " + END)),
        (Limits(tracks=1), smf(END, END)),
        (Limits(), smf("ff ff ff 7f 90 3c 40 " + END)),
        (Limits(bars=2), smf("bc 00 90 3c 40 " + END)),
        (Limits(file_bytes=20), smf("00 90 3c 40 00 3d 40 " + END)),
        (Limits(bend_points=2), smf("00 90 3c 40 01 e0 00 00 01 00 40 01 00 50 " + END)),
    ],
)
def test_each_limit_is_an_error_of_its_own(limits: Limits, data: bytes) -> None:
    with pytest.raises(LimitError):
        midi.decode(data, limits)


def test_bends_that_differ_at_once_get_channels_of_their_own_and_come_back() -> None:
    chord = [
        Note(0, 480, 60, 90, (Bend(0, 0), Bend(240, 200))),
        Note(0, 480, 64, 90),
        Note(0, 480, 67, 90, (Bend(0, 0), Bend(240, 200))),
        Note(480, 480, 64, 90),
    ]
    score = Score((Track.of(chord, name="Lead", program=29), Track.of([Note(0, 10, 36)], is_drums=True)))
    file = mido.MidiFile(file=io.BytesIO(midi.encode(score)))
    ons = [m for m in file.tracks[1] if m.type == "note_on"]
    assert len({m.channel for m in ons}) == 2
    assert {m.channel for m in ons if m.note in (60, 67)}.isdisjoint({m.channel for m in ons[:3] if m.note == 64})
    assert {m.channel for m in file.tracks[2] if m.type == "note_on"} == {9}
    back = midi.decode(midi.encode(score)).tracks[0]
    assert [bool(back.bends_of(i)) for i in range(4)] == [True, False, True, False]
    assert np.interp(120, *zip(*bends(back), strict=True)) == pytest.approx(100, abs=1)


def test_many_tracks_share_channels_and_never_the_drums() -> None:
    needs = [(False, index % 5, 1) for index in range(40)] + [(True, 0, 1), (False, 9, 15)]
    given = midi_channels(needs)
    assert given[40] == [9]
    assert sorted(given[41]) == [c for c in range(16) if c != 9]
    assert len({own[0] for own in given[:15]}) == 15
    assert all(9 not in own for index, own in enumerate(given) if index != 40)


def midi_channels(needs: list[tuple[bool, int, int]]) -> list[list[int]]:
    from cadenza.formats._midi_write import channels_for

    return channels_for(needs)


def test_what_cannot_be_written_is_refused() -> None:
    note = Note(0, 10, 60, 90, (Bend(0, 12_800),))
    crowd = [Note(i, 100 - 2 * i, 60) for i in range(16)]
    for score in (
        Score(ticks_per_quarter=32_768),
        Score(metres=(Metre(0, 256, 4),)),
        Score((Track.of([note]),)),
        Score((Track.of(crowd),)),
    ):
        with pytest.raises(FormatError):
            midi.encode(score)


def test_a_pause_longer_than_a_quantity_holds_is_bridged() -> None:
    far = 3 * 0x0FFFFFFF + 5
    score = Score((Track.of([Note(far, 7, 60)]),), 32_767, markers=(Marker(far, "x"),))
    assert midi.decode(midi.encode(score)) == score


def test_bank_numbers_precede_the_program_and_controls_reach_every_channel() -> None:
    controls = np.array([(0, 7, 100), (0, 0, 1), (0, 32, 2), (0, 10, 64), (5, 64, 127)], CONTROL_DTYPE)
    nested = [Note(0, 100, 60), Note(10, 10, 60)]
    score = Score((Track.of(nested, program=5, controls=controls),))
    events = mido.MidiFile(file=io.BytesIO(midi.encode(score))).tracks[1]
    on_second = [m.control if m.type == "control_change" else m.type for m in events if getattr(m, "channel", 0) == 1]
    assert on_second == [7, 0, 32, "program_change", 10, 64, "note_on", "note_off"]
    assert midi.decode(midi.encode(score)) == score


# ── against mido ─────────────────────────────────────────────────────────────────────────────────────────


def by_mido(data: bytes) -> list[tuple[int, int, bool, list[tuple[int, int, int, int]]]]:
    """(chunk or channel, program, drums, notes) by mido's messages and the plainest code."""
    file = mido.MidiFile(file=io.BytesIO(data))
    found: dict[tuple[int, int, bool], list[tuple[int, int, int, int]]] = {}
    for index, track in enumerate(file.tracks):
        now, program = 0, defaultdict(int)
        waiting: dict[tuple[int, int], deque[tuple]] = defaultdict(deque)  # type: ignore[type-arg]
        for message in track:
            now += message.time
            if message.type == "program_change":
                program[message.channel] = message.program
            elif message.type == "note_on" and message.velocity:
                place = message.channel if file.type == 0 else index
                key = (place, program[message.channel], message.channel == 9)
                found.setdefault(key, [])
                waiting[message.channel, message.note].append((key, now, message.note, message.velocity))
            elif message.type in ("note_on", "note_off") and waiting[message.channel, message.note]:
                key, onset, pitch, velocity = waiting[message.channel, message.note].popleft()
                found[key].append((onset, now - onset, pitch, velocity))
        for queue in waiting.values():
            for key, onset, pitch, velocity in queue:
                found[key].append((onset, now - onset, pitch, velocity))
    return [(*key, sorted(notes, key=lambda n: (n[0], n[2], n[1], n[3]))) for key, notes in found.items()]


def test_notes_agree_with_mido(shared_data: Path) -> None:
    files = sorted(shared_data.glob("mutopia/*.mid"))[::40] + sorted(shared_data.glob("groove/**/*.mid"))[::60]
    assert len(files) >= 40
    for file in files:
        data = file.read_bytes()
        ours = [(t.program, t.is_drums, rows(t)) for t in midi.decode(data).tracks if len(t)]
        assert ours == [row[1:] for row in by_mido(data)], file.name


def test_counts_agree_with_symusic(shared_data: Path) -> None:
    symusic = pytest.importorskip("symusic")
    for file in sorted(shared_data.glob("mutopia/*.mid"))[::20]:
        ours = sorted(pitch for track in midi.read(file).tracks for pitch in track.notes["pitch"].tolist())
        theirs = sorted(note.pitch for track in symusic.Score(file).tracks for note in track.notes)
        assert ours == theirs, file.name


@pytest.mark.shared
@pytest.mark.slow
def test_read_write_read_is_the_identity_on_all_shared_files(shared_data: Path) -> None:
    files = sorted(shared_data.glob("mutopia/**/*.mid")) + sorted(shared_data.glob("groove/**/*.mid"))
    assert len(files) >= 2_000
    for file in files:
        score = midi.read(file)
        assert midi.decode(midi.encode(score)) == score, file.name


def test_the_suffix_leads_here(tmp_path: Path) -> None:
    score = Score((Track.of([Note(0, 480, 60)], name="a"),), length_ticks=480)
    formats.write(score, tmp_path / "a.midi")
    assert formats.read(tmp_path / "a.midi") == score
    with pytest.raises(FormatError, match=r"no\.mid"):
        formats.read(tmp_path / "no.mid")
