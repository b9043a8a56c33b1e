"""From curves to notes, and from a recording to a score with the ear that is shipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cadenza import formats
from cadenza.app.cli.main import app
from cadenza.base.errors import CadenzaError, ConfigError, FormatError
from cadenza.formats import wav
from cadenza.infer.heard_families import assigned
from cadenza.infer.heard_notes import HeardNote, NoteStream, Thresholds, is_one_voice, notes, table
from cadenza.infer.transcribe import TRACKS, to_score, transcribe, tuning_cents
from cadenza.model.ear import Ear
from cadenza.score.model import Bend, Note, Score, Tempo, Track
from cadenza.score.table import note_table

soundfile = pytest.importorskip("soundfile")
RATE = 16_000
FAMILIES = tuple(TRACKS)


def random_curves(n_frames: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def smooth(x: np.ndarray, n: int) -> np.ndarray:
        return sum(np.roll(x, shift, axis=0) for shift in range(n)) / n

    shape = (n_frames, 88)
    curves = {
        "onset": smooth(rng.random(shape) ** 6, 3), "frame": smooth(rng.random(shape), 9),
        "velocity": rng.random(shape), "shift": rng.normal(0, 0.3, shape), "bend": rng.normal(0, 0.1, shape),
        "family": rng.random((8, *shape)),
    }  # fmt: skip
    return {name: value.astype(np.float32) for name, value in curves.items()}


@pytest.mark.parametrize("step", [47, 170, 333])
def test_notes_are_the_same_however_the_curves_come(step):
    curves, thresholds = random_curves(700), Thresholds(onset=0.4, frame=0.45)
    whole = notes(curves, thresholds)
    assert len(whole) > 500
    stream, heard = NoteStream(thresholds), []
    for start in range(0, 700, step):
        part = {
            name: value[:, start : start + step] if name == "family" else value[start : start + step]
            for name, value in curves.items()
        }
        heard += stream.push(start, part)
    heard += stream.finish()
    assert (table(heard) == whole).all()


def test_a_note_lasts_until_it_is_quiet_or_begins_again():
    curves = {name: np.zeros((200, 88), np.float32) for name in ("onset", "frame", "velocity", "shift")}
    curves["onset"][[20, 60], 39] = 0.9
    curves["frame"][20:90, 39] = 0.8
    curves["velocity"][:, 39] = 0.5
    curves["shift"][20, 39] = 0.25
    found = notes(curves, Thresholds())
    assert found["pitch"].tolist() == [60, 60]
    assert found["onset_seconds"].tolist() == pytest.approx([20.25 / 50, 60 / 50])
    assert found["end_seconds"].tolist() == pytest.approx([60 / 50, 90 / 50])
    assert found["velocity"].tolist() == [64, 64]


def test_a_bent_note_lasts_while_it_is_bent():
    """A pitch that has left its key says less there; one that has not is over when it says as little."""
    curves = {name: np.zeros((120, 88), np.float32) for name in ("onset", "frame", "velocity", "shift", "bend")}
    curves["onset"][10, [39, 50]] = 0.9
    curves["frame"][10:30, [39, 50]] = 0.9
    curves["frame"][30:80, [39, 50]] = 0.2
    curves["bend"][20:80, 39] = 2.0
    curves["bend"][20:, 50] = 0.1
    found = notes(curves, Thresholds())
    assert found["pitch"].tolist() == [60, 71]
    assert found["end_seconds"].tolist() == pytest.approx([80 / 50, 30 / 50])


def heard(onset: float, pitch: int, family: str, bend: np.ndarray | None = None) -> HeardNote:
    likely = np.full(len(FAMILIES), 0.1)
    likely[FAMILIES.index(family)] = 1.0
    bends = np.zeros(25, np.float32) if bend is None else bend.astype(np.float32)
    return HeardNote(onset, onset + 0.5, pitch, 80, 0.9, likely, bends)


def test_rare_families_are_taken_for_misheard_and_bends_become_curves():
    rise = np.clip(np.arange(25) / 10, 0, 1) * 2
    found = [heard(0.1 * n, 60 + n % 12, "plucked", rise if n == 3 else None) for n in range(60)]
    found.append(heard(2.0, 48, "organ"))
    score = to_score(found, assigned(found, FAMILIES), [], FAMILIES, ("kick",))
    assert [track.program for track in score.tracks] == [25]
    track = score.tracks[0]
    assert len(track) == 61
    assert set(track.bends["note"].tolist()) == {3}
    assert max(bend.cents for bend in track.bends_of(3)) == 200


@pytest.mark.parametrize("astray", [-48.0, 0.0, 40.0])
def test_an_instrument_that_is_out_of_tune_with_itself_is_not_bent(astray):
    """All its notes are as much astray; one is bent beyond that."""
    rise = np.clip(np.arange(25) / 10, 0, 1) * 2
    found = [heard(0.2 * n, 60 + n % 12, "voice", np.full(25, astray / 100) + rise * (n == 5)) for n in range(20)]
    (track,) = to_score(found, assigned(found, FAMILIES), [], FAMILIES, ("kick",)).tracks
    assert set(track.bends["note"].tolist()) == {5}
    assert max(bend.cents for bend in track.bends_of(5)) == pytest.approx(200, abs=1)
    # Of a few notes nobody can tell.
    few = found[:3]
    (track,) = to_score(few, assigned(few, FAMILIES), [], FAMILIES, ("kick",)).tracks
    assert len(set(track.bends["note"].tolist())) == (3 if astray else 0)


def test_a_note_alone_among_others_of_another_family_is_one_of_them():
    """Unless it is sure of itself, or far away in pitch; in more than one voice."""
    line = [heard(0.2 * n, 60 + n % 5, "wind") for n in range(40)]
    line = [replace(note, end_seconds=note.end_seconds + n % 2) for n, note in enumerate(line)]
    wind, bowed = FAMILIES.index("wind"), FAMILIES.index("bowed")
    doubtful, sure = np.full(len(FAMILIES), 0.02), np.full(len(FAMILIES), 0.001)
    doubtful[[wind, bowed]] = 0.4, 0.6
    sure[bowed] = 1.0
    strays = [
        replace(line[n], families=likely) for n, likely in ((10, doubtful), (11, doubtful), (20, sure), (21, sure))
    ]
    far = [replace(line[0], onset_seconds=0.2 * n, pitch=96, families=doubtful) for n in (5, 15, 30)]
    found = [note for n, note in enumerate(line) if n not in (10, 11, 20, 21)] + strays + far
    said = assigned(found, FAMILIES)
    assert said[36:] == [wind, wind, bowed, bowed, bowed, bowed, bowed]
    assert set(said[:36]) == {wind}
    order = np.random.default_rng(0).permutation(len(found))
    assert assigned([found[i] for i in order], FAMILIES) == [said[i] for i in order]
    assert set(assigned(found, FAMILIES, ("bowed", "organ"))) == {bowed}


def test_one_voice_is_one_instrument_unless_it_is_surely_two():
    wind, bowed = FAMILIES.index("wind"), FAMILIES.index("bowed")
    doubtful, other, sure = (np.full(len(FAMILIES), 0.02) for _ in range(3))
    doubtful[[wind, bowed]] = 0.55, 0.45
    other[[wind, bowed]] = 0.4, 0.6
    sure[[wind, bowed]] = 0.02, 0.98
    line = [
        replace(heard(0.2 * n, 60 + n % 5, "wind"), end_seconds=0.2 * n + 0.19, families=doubtful) for n in range(40)
    ]
    answered = [replace(note, families=other if n >= 28 else doubtful) for n, note in enumerate(line)]
    assert set(assigned(answered, FAMILIES)) == {wind}
    assert set(assigned(answered, FAMILIES, ("bowed", "organ"))) == {bowed}
    never = np.where(np.arange(len(FAMILIES)) == wind, 1.0, 0.0)  # what is allowed is as unlikely as what is not
    assert set(assigned([replace(note, families=never) for note in line], FAMILIES, ("bowed",))) == {bowed}
    # Surely two, or two voices: as before.
    duet = [note if n < 28 else replace(note, families=sure) for n, note in enumerate(line)]
    assert set(assigned(duet, FAMILIES)) == {bowed}  # those of the first half were in doubt
    duet[:28] = [replace(note, families=sure[::-1]) for note in duet[:28]]
    assert assigned(duet, FAMILIES) == 28 * [int(sure[::-1].argmax())] + 12 * [bowed]
    thrown_in = [replace(note, families=sure) if n % 4 == 0 else note for n, note in enumerate(duet[:28])]
    assert len(set(assigned(thrown_in, FAMILIES))) == 1
    below = [replace(note, pitch=note.pitch - 24) for note in answered]
    chords = sorted([*answered, *below], key=lambda note: note.onset_seconds)
    assert set(assigned(chords, FAMILIES)) == {wind, bowed}


def test_tuning_is_found():
    rng = np.random.default_rng(0)
    t = np.arange(4 * RATE) / RATE
    for cents in (-42.0, -20.0, 0.0, 15.0, 44.0):
        sound = rng.normal(0, 0.002, len(t))
        for pitch in (50, 57, 62, 65, 69):
            hertz = 440 * 2 ** ((pitch - 69 + cents / 100) / 12)
            sound += sum(0.1 / k * np.sin(2 * np.pi * k * hertz * t) for k in (1, 2, 4))
        assert tuning_cents([sound.astype(np.float32)]) == pytest.approx(cents, abs=4)
    assert tuning_cents([rng.normal(0, 0.1, 4 * RATE).astype(np.float32)]) == 0.0


@pytest.mark.parametrize("cents", [-45.0, -30.0, 0.0, 30.0, 45.0])
@pytest.mark.parametrize("astray", [-24.0, 24.0])
def test_a_loud_voice_that_is_out_of_tune_by_itself_does_not_move_the_tuning(cents, astray):
    # A melody 24 cents astray, louder than its chords: the mean of all peaks comes near half a semitone, or crosses it.
    t = np.arange(2 * RATE) / RATE
    stretches = []
    for chord, melody in (((48, 55, 64), 72), ((53, 57, 60), 77), ((43, 50, 59), 74)):
        sound = np.zeros(len(t))
        for pitches, off, level in ((chord, cents, 0.03), ((melody,), cents + astray, 0.12)):
            for pitch in pitches:
                hertz = 440 * 2 ** ((pitch - 69 + off / 100) / 12)
                sound += sum(level / h * np.sin(2 * np.pi * h * hertz * t) for h in range(1, 7))
        stretches.append(sound.astype(np.float32))
    assert tuning_cents(stretches) == pytest.approx(cents, abs=4)


def test_a_loud_voice_that_sways_says_less_of_the_tuning_than_a_quiet_piano_that_stays():
    t = np.arange(6 * RATE) / RATE
    sound = np.zeros(len(t))
    for pitch in (50, 57, 62):
        hertz = 440 * 2 ** ((pitch - 69 + 0.44) / 12)
        sound += sum(0.03 / h * np.sin(2 * np.pi * h * hertz * t) for h in range(1, 5))
    swaying = 440 * 2 ** ((0.56 + 0.15 * np.sin(2 * np.pi * 0.7 * t)) / 12)  # 41 … 71 cents sharp
    phase = 2 * np.pi * np.cumsum(swaying) / RATE
    sound += sum(0.3 / h * np.sin(h * phase) for h in range(1, 5))
    assert tuning_cents([sound.astype(np.float32)]) == pytest.approx(44.0, abs=2)


# ── with the shipped ear ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def ear() -> Ear:
    return Ear(threads=1)


@pytest.fixture(scope="module")
def piece() -> Score:
    melody = [Note(480 * n, 440, pitch, 90) for n, pitch in enumerate((64, 67, 72, 71, 69, 65, 64, 62))]
    bass = [Note(960 * n, 900, pitch, 80) for n, pitch in enumerate((48, 53, 50, 55))]
    return Score((Track.of(melody + bass, program=0),), tempos=(Tempo(0, 100.0),))


def matched(score: Score, ref: Score) -> float:
    """Onset F1 within 50 ms."""
    ours, theirs = note_table(score), note_table(ref)
    pairs = sum(
        bool(((ours["pitch"] == row["pitch"]) & (np.abs(ours["onset_seconds"] - row["onset_seconds"]) < 0.05)).any())
        for row in theirs
    )
    return 2 * pairs / max(1, len(ours) + len(theirs))


@pytest.mark.parametrize("rate", [8_000, 44_100, 192_000])
def test_a_played_piece_is_heard(tmp_path, ear, piece, rate):
    path = tmp_path / "piece.wav"
    wav.write(piece, path, soundfont="built-in", sample_rate=rate)
    found = transcribe(path, ear)
    assert found.complete
    assert matched(found.score, piece) > 0.9
    assert abs(found.tuning_cents) < 5


@pytest.mark.parametrize("cents", [-40.0, 0.0, 40.0])
def test_a_recording_out_of_tune_is_not_bent(tmp_path, ear, cents):
    """A guitar line with one bend, played a little faster or slower: that note alone is bent, and by as much."""
    line = [Note(480 * n, 450, pitch, 90) for n, pitch in enumerate((52, 55, 57, 59, 62, 64, 62, 59, 57, 55, 57, 52))]
    line[6] = replace(line[6], bends=(Bend(0, 0), Bend(300, 0), Bend(400, 200), Bend(450, 200)))
    played = wav.synthesize(Score((Track.of(line, program=25),)), soundfont="built-in", sample_rate=RATE)[0]
    sound = np.asarray(played.samples, np.float32).mean(0)
    faster = 2 ** (cents / 1200)
    at = np.arange(int(len(sound) / faster)) * faster
    path = tmp_path / "detuned.wav"
    soundfile.write(path, np.interp(at, np.arange(len(sound)), sound), RATE, "FLOAT")
    found = transcribe(path, ear, instruments=["plucked"], drums=False)
    assert found.tuning_cents == pytest.approx(cents, abs=6)
    (track,) = found.score.tracks
    bent = {int(track.notes["pitch"][n]): n for n in sorted(set(track.bends["note"].tolist()))}
    assert 62 in bent
    assert set(bent) <= {62, 64}  # what it is bent to may be heard as a note of its own
    assert 120 < max(bend.cents for bend in track.bends_of(bent[62])) < 220


def test_the_tempo_is_written_and_changes_nothing_heard(tmp_path, ear, piece):
    path = tmp_path / "piece.wav"
    wav.write(piece, path, soundfont="built-in", sample_rate=16_000)
    plain, other = transcribe(path, ear), transcribe(path, ear, tempo=90.0, instruments=["piano"])
    assert other.score.tempos[0].quarters_per_minute == 90.0
    assert matched(other.score, plain.score) > 0.99
    assert [track.name for track in other.score.tracks if not track.is_drums] == ["Piano"]
    with pytest.raises(ConfigError, match="piano"):
        transcribe(path, ear, instruments=["pianno"])


def test_the_command_writes_what_it_hears(tmp_path, piece):
    path, out = tmp_path / "piece.wav", tmp_path / "out" / "heard.mid"
    wav.write(piece, path, soundfont="built-in", sample_rate=22_050)
    done = CliRunner().invoke(app, ["transcribe", str(path), "-o", str(out), "--no-drums", "--quantize", "none"])
    assert done.exit_code == 0, done.output
    assert "notes in" in done.output
    assert matched(formats.read(out), piece) > 0.9
    page = tmp_path / "page.musicxml"
    said = ["--tempo", "100", "--metre", "3/4", "--key", "Eb", "--quantize", "16"]
    done = CliRunner().invoke(app, ["transcribe", str(path), "-o", str(page), "--no-drums", *said])
    assert done.exit_code == 0, done.output
    assert "100 quarters a minute, 3/4, Eb" in done.output
    written = formats.read(page)
    assert (written.metres[0].numerator, written.metres[0].denominator) == (3, 4)
    assert written.keys[0].fifths == -3
    wrong = CliRunner().invoke(app, ["transcribe", str(path), "-o", str(page), "--metre", "3/5"])
    assert wrong.exit_code != 0


@pytest.mark.parametrize("sound", [np.zeros(RATE), np.zeros(1), 1e-6 * np.ones(RATE)], ids=["silent", "one", "faint"])
def test_silence_is_said(tmp_path, ear, sound):
    path = tmp_path / "silent.wav"
    soundfile.write(path, sound.astype(np.float32), RATE, "FLOAT")
    with pytest.raises(FormatError, match="silence"):
        transcribe(path, ear)


@pytest.mark.parametrize("kind", ["click", "clipped noise", "one loud sample"])
def test_what_is_no_music_makes_few_notes_and_no_error(tmp_path, ear, kind):
    rng = np.random.default_rng(0)
    sound = {
        "click": np.r_[np.zeros(RATE), 1.0, np.zeros(RATE)],
        "clipped noise": np.sign(rng.normal(size=3 * RATE)),
        "one loud sample": np.ones(1),
    }[kind]
    path = tmp_path / "sound.wav"
    soundfile.write(path, sound.astype(np.float32), RATE, "FLOAT")
    assert len(transcribe(path, ear, drums=False).heard) < 10


def bad_file(kind: str, piece: Score, folder: Path) -> Path:
    """A file that a transcriber may be handed."""
    whole = folder / "whole.wav"
    wav.write(piece, whole, soundfont="built-in", sample_rate=16_000)
    path = folder / f"{kind.replace(' ', '_')}.wav"
    if kind == "clipped":
        sound, rate = soundfile.read(whole)
        soundfile.write(path, np.clip(20 * sound / np.abs(sound).max(), -1, 1), rate)
    elif kind == "cut off":
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    elif kind == "corrupt":
        path = path.with_suffix(".flac")
        sound, rate = soundfile.read(whole)
        soundfile.write(path, sound, rate)
        data = bytearray(path.read_bytes())
        data[len(data) // 2 :] = bytes(255 - one for one in data[len(data) // 2 :])
        path.write_bytes(data)
    elif kind == "one sample":
        soundfile.write(path, np.ones(1), RATE)
    elif kind == "silent":
        soundfile.write(path, np.zeros(2 * RATE), RATE)
    elif kind == "noise":
        soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 3 * RATE), RATE)
    else:
        path.write_bytes({"empty": b"", "text": b"not a sound at all\n" * 50}[kind])
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [("clipped", ""), ("cut off", ""), ("one sample", ""), ("noise", ""), ("corrupt", "sound to its end"),
     ("silent", "silence"), ("empty", "a sound file"), ("text", "a sound file")],
)  # fmt: skip
def test_a_bad_file_gives_notes_an_empty_page_or_one_sentence(tmp_path, piece, kind, said):
    path, out = bad_file(kind, piece, tmp_path), tmp_path / "out.musicxml"
    done = CliRunner().invoke(app, ["transcribe", str(path), "-o", str(out), "--no-drums"])
    assert done.exception is None or isinstance(done.exception, SystemExit | CadenzaError)
    if said:
        assert done.exit_code != 0
        assert said in done.output + str(done.exception)
        assert not out.exists()
    else:
        assert done.exit_code == 0, done.output
        n_notes = formats.read(out).n_notes
        assert n_notes >= 6 if kind in ("clipped", "cut off") else n_notes < 10


def test_an_interrupt_keeps_what_was_heard(tmp_path, ear, piece):
    path = tmp_path / "piece.wav"
    wav.write(piece, path, soundfont="built-in", sample_rate=16_000)

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    found = transcribe(path, ear, on_progress=stop)
    assert not found.complete
    assert found.score.n_notes > 0


@pytest.mark.parametrize(
    ("spans", "one"),
    [
        ([], False),
        ([(0, 1)], True),
        ([(0, 1), (1, 2), (2, 3)], True),
        ([(0, 1.6), (1, 2.4), (2, 3)], True),  # they ring on
        ([(0, 1), (0, 1)], False),
        ([(0, 3), (1, 1.2), (2, 2.2)], False),  # a long note below
        ([(n, n + 2.5) if n == 3 else (n, n + 1) for n in range(12)], True),  # one slip
    ],
)
def test_one_voice(spans, one):
    notes = [HeardNote(a, b, 60, 64, 0.9, np.zeros(0), np.zeros(0, np.float32)) for a, b in reversed(spans)]
    assert is_one_voice(notes) is one
