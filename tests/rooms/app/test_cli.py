"""The command line, in process: what it says, what it writes, and that every error is one line and status 2."""

from __future__ import annotations

import json
import subprocess
import sys
import wave
from pathlib import Path

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

from cadenza import formats
from cadenza.app.cli.main import app, main
from cadenza.infer.model import shipped_folder
from cadenza.score.edit import select_ticks
from cadenza.score.model import STANDARD_TUNINGS, BarMark, Bend, Marker, Note, Score, Technique, Tempo, Track
from tests.rooms.infer.tiny import write_composer

TUNING = STANDARD_TUNINGS["guitar"]


@pytest.fixture
def cli(monkeypatch, capsys):
    """``cli("info", path)`` → (exit status, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cadenza", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return run


@pytest.fixture
def tab(tmp_path: Path) -> Path:
    """A tab with what MIDI cannot hold."""
    notes = [Note(i * 480, 480, 45 + i % 5, 95, (), 5, i % 5, Technique.PALM_MUTE) for i in range(15)]
    notes.append(Note(15 * 480, 480, 47, 95, (Bend(0, 0), Bend(480, 200)), 5, 2))
    track = Track.of(notes, name="Lead", program=29, tuning=TUNING)
    score = Score(
        (track,), 960, (Tempo(0, 100.0),), bars=(BarMark(0, True), BarMark(3840, False, 2)),
        markers=(Marker(0, "Riff"),), title="Étude", composer="A. Nobody",
    )  # fmt: skip
    formats.write(score, tmp_path / "tab.gp5")
    return tmp_path / "tab.gp5"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_composer(tmp_path_factory.mktemp("composer"))


def test_convert_says_what_it_drops(cli, tab: Path, tmp_path: Path) -> None:
    status, out, err = cli("convert", tab, tmp_path / "out.mid")
    assert (status, err) == (0, "")
    assert sum(line.startswith("this conversion ") for line in out.splitlines()) >= 1
    assert "this conversion drops" in out
    assert "out.mid: 1 tracks, 16 notes" in out
    assert formats.read(tmp_path / "out.mid").n_notes == 16


def test_convert_that_loses_nothing_says_nothing(cli, tab: Path, tmp_path: Path) -> None:
    status, out, _ = cli("convert", tab, tmp_path / "copy.gp5", "--strict")
    assert status == 0
    assert "this conversion" not in out
    assert formats.read(tmp_path / "copy.gp5") == formats.read(tab)


def test_convert_never_writes_over_what_it_reads(cli, tmp_path: Path) -> None:
    """Least of all a book by one of its tunes."""
    book = tmp_path / "book.abc"
    book.write_text("X:1\nT:a\nL:1/4\nK:C\nCDEF|\n\nX:2\nT:b\nL:1/4\nK:C\nGABc|\n")
    before = book.read_bytes()
    (tmp_path / "link.abc").symlink_to(book)
    for target in (book, tmp_path / "link.abc"):
        status, _, err = cli("convert", f"{book}#2", target)
        assert status == 2
        assert "expected another file than the one that is read" in err
        assert book.read_bytes() == before


def test_a_missing_folder_is_named(cli, tab: Path, tmp_path: Path) -> None:
    status, _, err = cli("convert", tab, tmp_path / "none" / "out.mid")
    assert status == 2
    assert f"expected a folder to write in, found no folder {tmp_path / 'none'}" in err


def test_strict_refuses_and_writes_nothing(cli, tab: Path, tmp_path: Path) -> None:
    status, out, err = cli("convert", tab, tmp_path / "out.mid", "--strict")
    assert status == 2
    assert "this conversion drops" in out
    assert err.startswith("error: ")
    assert "--strict" in err
    assert not (tmp_path / "out.mid").exists()


def test_unfold_writes_repeats_out(cli, tab: Path, tmp_path: Path) -> None:
    status, out, _ = cli("convert", tab, tmp_path / "out.mid", "--unfold")
    assert status == 0
    assert "24 notes" in out or "32 notes" in out


def test_info_is_a_table_or_json(cli, tab: Path) -> None:
    status, out, _ = cli("info", tab, "--json")
    facts = json.loads(out)
    assert status == 0
    assert (facts["title"], facts["composer"], facts["notes"], facts["bars"]) == ("Étude", "A. Nobody", 16, 2)
    assert facts["tempos"] == [[0, 100.0]]
    assert facts["repeats"] == 1
    assert facts["tracks"][0]["tuning"] == list(TUNING)
    assert facts["tracks"][0]["techniques"] == {"palm_mute": 15}
    assert facts["tracks"][0]["bent_notes"] == 1
    status, out, _ = cli("info", tab)
    assert status == 0
    assert "Étude" in out
    assert "Lead" in out


def test_info_of_an_empty_piece(cli, tmp_path: Path) -> None:
    formats.write(Score((Track(),)), tmp_path / "empty.mid")
    for extra in ((), ("--json",)):
        assert cli("info", tmp_path / "empty.mid", *extra)[0] == 0


def test_compose_writes_takes(cli, tab: Path, tmp_path: Path, model: Path) -> None:
    target, text = tmp_path / "new" / "song.gp5", tmp_path / "new" / "song.mid"
    status, out, err = cli(
        "compose", tab, "-o", target, "-o", text, "--bars", 2, "--takes", 2, "--model", model, "--seed", 5
    )
    assert status == 0, err
    assert "take 1:" in out
    assert "take 2:" in out
    names = sorted(path.name for path in target.parent.iterdir())
    assert names == ["song-1.gp5", "song-1.mid", "song-2.gp5", "song-2.mid"]
    scores = [formats.read(target.with_stem(f"song-{n}")) for n in (1, 2)]
    assert scores[0] != scores[1]
    seed = formats.read(tab)
    for score in scores:
        assert score.length_ticks == seed.length_ticks + 2 * 3840
        assert select_ticks(0, seed.length_ticks)(score).tracks[0] == seed.tracks[0]
    # One of them, whichever ranks first, is the take of the next seed.
    cli("compose", tab, "-o", tmp_path / "again.gp5", "--bars", 2, "--model", model, "--seed", 6)
    assert formats.read(tmp_path / "again.gp5") in scores


def test_compose_fills_in_accompanies_and_begins(cli, tab: Path, tmp_path: Path, model: Path) -> None:
    status, out, err = cli("compose", tab, "-o", tmp_path / "in.gp5", "--infill", "2", "--model", model)
    assert status == 0, err
    assert "1 bars," in out
    assert "taught only to continue" in out
    status, out, err = cli("compose", tab, "-o", tmp_path / "with.gp5", "--accompany", "bass", "--model", model)
    assert status == 0, err
    assert [track.name for track in formats.read(tmp_path / "with.gp5").tracks] == ["Lead", "Bass"]
    asked = ("--tracks", "guitar,drums", "--tempo", 140, "--metre", "3/4", "--key", "Em", "--strict-key", "--bars", 2)
    status, out, err = cli("compose", "--new", *asked, "-o", tmp_path / "new.gp5", "--model", model)
    assert status == 0, err
    new = formats.read(tmp_path / "new.gp5")
    assert (new.tempos[0].quarters_per_minute, new.metres[0].numerator, new.length_ticks) == (140, 3, 6 * 960)
    pitches = new.tracks[0].notes["pitch"] % 12
    assert set(pitches.tolist()) <= {4, 6, 7, 9, 11, 0, 2, 3}


def test_compose_lists_its_controls(cli) -> None:
    status, out, _ = cli("compose", "--controls")
    assert status == 0
    assert "nearness" in out
    assert "by construction" in out


def test_compose_draws_and_plays(cli, tab: Path, tmp_path: Path, model: Path) -> None:
    png, wav = tmp_path / "a.png", tmp_path / "a.wav"
    status, out, err = cli("compose", tab, "-o", png, "-o", wav, "--bars", 1, "--model", model)
    assert status == 0, err
    assert "in colour" in out
    assert png.read_bytes().startswith(b"\x89PNG")
    with wave.open(str(wav)) as sound:
        assert sound.getnchannels() == 2


def test_render(cli, tab: Path, tmp_path: Path) -> None:
    status, out, err = cli("render", tab, "-o", tmp_path / "a.png", "-o", tmp_path / "a.wav", "--width", 500)
    assert status == 0, err
    assert "piano roll of 16 notes" in out
    assert "played by" in out
    from PIL import Image

    assert Image.open(tmp_path / "a.png").size[0] == 500
    status, _, err = cli("render", tab, "-o", tmp_path / "a.mid")
    assert status == 2
    assert "cadenza convert" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("info", "{tmp}/missing.mid"), "nothing there"),
        (("info", "{tmp}"), "suffix"),
        (("info", "{tmp}/junk.xyz"), ".gp5, "),
        (("info", "{tmp}/junk.wav"), ".gp5, "),
        (("info", "{tmp}/junk.mid"), "junk.mid"),
        (("convert", "{tab}", "{tmp}/out.xyz"), ".smidi"),
        (("convert", "{tab}", "{tmp}/out.gp4"), ".gp5"),
        (("convert", "{tab}", "{tmp}/nowhere/out.mid"), "nowhere"),
        (("compose", "{tab}", "-o", "{tmp}/a.xyz"), ".gp5"),
        (("compose", "{tab}", "-o", "{tmp}/a.mid", "--model", "{tmp}/none"), "model folder"),
        (("compose", "{tab}", "-o", "{tmp}/a.mid", "--model", "{tmp}"), "tokenizer"),
        (("compose", "{tab}", "-o", "{tmp}/a.mid", "--model", "{model}", "--bars", "0"), "bars"),
        (("compose", "{tab}", "-o", "{tmp}/a.mid", "--model", "{model}", "--temperature", "-1"), "temperature"),
        (("compose", "{tab}", "-o", "{tmp}/a.mid", "--model", "{model}", "--top-p", "7"), "top_p"),
        (("compose", "{tab}", "-o", "{tmp}/junk.mid/a.mid", "--model", "{model}", "--bars", "1"), "junk.mid"),
        (("compose", "{tab}"), "-o"),
        (("compose", "-o", "{tmp}/a.mid"), "FILE"),
        (("compose", "{tab}", "-o", "{tmp}/a.mid", "--new", "--tracks", "bass"), "FILE"),
        (("compose", "--new", "-o", "{tmp}/a.mid"), "--tracks"),
        (("compose", "{tab}", "-o", "{tmp}/a.mid", "--infill", "2", "--accompany", "bass"), "one of"),
        (("compose", "{tab}", "-o", "{tmp}/a.mid", "--infill", "2", "--tempo", "90"), "tempo"),
        (("compose", "{tab}", "-o", "{tmp}/a.mid", "--accompany", "gitar"), "guitar"),
        (("compose", "{tab}", "-o", "{tmp}/a.mid", "--key", "H"), "key"),
        (("render", "{tab}", "-o", "{tmp}/a.png", "--width", "5"), "width"),
        (("render", "{tab}", "-o", "{tmp}/a.wav", "--soundfont", "{tmp}/junk.mid"), ""),
    ],
)
def test_an_error_is_one_line_and_status_2(arguments, said, cli, tab: Path, tmp_path: Path, model: Path) -> None:
    for name in ("junk.xyz", "junk.wav", "junk.mid"):
        (tmp_path / name).write_bytes(b"junk")
    filled = [a.format(tmp=tmp_path, tab=tab, model=model) for a in arguments]
    status, out, err = cli(*filled)
    assert status == 2, out + err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert [*tmp_path.glob("a.*"), *tmp_path.glob("out.*")] == []


def test_the_suffix_is_judged_before_the_work(cli, tmp_path: Path) -> None:
    status, _, err = cli("compose", tmp_path / "missing.mid", "-o", tmp_path / "a.xyz", "--model", tmp_path)
    assert status == 2
    assert "'.xyz'" in err


def test_render_engraves(cli, tab: Path, tmp_path: Path) -> None:
    from cadenza.formats.sheet.drawing import GENERATED

    names = [tmp_path / name for name in ("a.svg", "a.pdf", "a.png")]
    outs = [word for name in names for word in ("-o", name)]
    status, out, err = cli("render", tab, *outs, "--view", "tab", "--colour-from", 2, "--width", 600)
    assert status == 0, err
    assert [line.partition(": ")[2] for line in out.splitlines()] == ["tablature of 16 notes"] * 3
    assert GENERATED in names[0].read_text("utf-8")
    assert names[1].read_bytes().startswith(b"%PDF-")
    status, out, _ = cli("render", tab, "-o", tmp_path / "b.svg")
    assert (status, "score and tablature" in out) == (0, True)
    assert GENERATED not in (tmp_path / "b.svg").read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-o", "{tmp}/a.svg", "--view", "roll"), "piano roll is a .png"),
        (("-o", "{tmp}/a.png", "--view", "staff"), "--view"),
        (("-o", "{tmp}/a.pdf", "--colour-from", "99"), "--colour-from"),
    ],
)
def test_render_refuses_before_the_work(cli, tab: Path, tmp_path: Path, options, said) -> None:
    status, _, err = cli("render", tab, *(word.format(tmp=tmp_path) for word in options))
    assert status == 2
    assert said in err
    assert not list(tmp_path.glob("a.*"))


def test_convert_to_a_sheet(cli, tab: Path, tmp_path: Path) -> None:
    status, _, err = cli("convert", tab, tmp_path / "a.pdf")
    assert (status, err) == (0, "")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")


def test_compose_prints_its_part_in_colour(cli, tab: Path, tmp_path: Path, model: Path) -> None:
    from cadenza.formats.sheet.drawing import GENERATED

    status, out, err = cli("compose", tab, "-o", tmp_path / "more.svg", "--bars", 1, "--model", model)
    assert status == 0, err
    assert "in colour" in out
    text = (tmp_path / "more.svg").read_text("utf-8")
    assert text.count('class="fret"') >= 16
    assert (GENERATED in text) == ("1 bars, 0 notes" not in out)


def test_doctor(cli) -> None:
    status, out, _ = cli("doctor")
    assert "reads: .abc" in out
    assert "numpy" in out
    if shipped_folder().is_dir():
        assert status == 0
        assert "the shipped model" in out
        assert out.rstrip().endswith("all well")
    else:
        assert status == 1
        assert "does not compose" in out


def test_help_and_version(cli) -> None:
    assert "convert" in cli("--help")[1]
    assert cli("--version")[1].startswith("cadenza ")


def test_no_help_text_is_taken_for_markup() -> None:
    """Rich swallows ``[word]``: an extra would be named by nothing."""
    pending = [typer.main.get_command(app)]
    seen = 0
    while pending:
        command = pending.pop()
        pending += getattr(command, "commands", {}).values()
        texts = [command.help or "", *(getattr(parameter, "help", "") or "" for parameter in command.params)]
        for text in texts:
            seen += 1
            assert Text.from_markup(text).plain == text, (command.name, text)
    assert seen > 100


def test_a_new_process_imports_nothing_heavy(tab: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['cadenza', 'convert', *sys.argv[1:]]\n"
        "from cadenza.app.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as left: assert not left.code, left.code\n"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'onnx', 'symusic', 'numba', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code, tab, tmp_path / "out.mid"], check=True, capture_output=True)
    assert (tmp_path / "out.mid").is_file()


def test_older_guitar_pro_is_refused_before_the_work(cli, tab, tmp_path):
    status, out, err = cli("compose", tab, "-o", tmp_path / "more.gp3")
    assert status == 2
    assert ".gp5" in err
    assert out == ""
    assert "gp3" not in formats.suffixes("write")
    assert {"gp3", "gp4", "gp5"} <= set(formats.suffixes("read"))


@pytest.mark.parametrize("option", [["--dry-run"], ["--preview", "1"]])
def test_recipes_that_listen_say_that_they_have_no_outlook(option):
    pytest.importorskip("transformers", reason="training needs the extra [train]")
    result = CliRunner().invoke(app, ["train", "listen", "--set", "listen.clips=CLIPS", *option])
    assert "one that listens" in str(result.exception) + result.output
