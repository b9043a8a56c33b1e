"""What training the ear needs beside the code: the packed scores and the soundfonts, cut down, in one small folder.

    python benchmarks/ear_data.py --data DIR --fonts DIR --out DIR [--notes DIR]

``--data`` is the shared music data; ``--fonts`` holds the unpacked Debian packages fluidr3mono-gm-soundfont,
musescore-general-soundfont, freepats and timgm6mb-soundfont. Families: FluidR3 (Frank Wen, MIT; its mono edition by
Michael Cowgill) is the ancestor of most of MuseScore_General, whose grand piano (AKAI, public domain) and string
sections (VSCO 2 CE, CC0) are not, and only what is not FluidR3's is taken from it; FreePats (GPL with an exception for
what is rendered) is its own. TimGM6mb (Tim Brechbill, GPL 2) shares no sample with any of them: it is kept for testing
and never trained on. ``--notes`` holds recorded single notes, a folder of sound files an instrument (:data:`NOTES`), as
the ``tonejs-instrument-NAME-mp3`` packages have them (samples of public domain sources, edited, CC BY 3.0): solo
strings, winds and brass that no General MIDI font has. No font is distributed with cadenza; weights trained on renders
are the project's own.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cadenza.corpus import soundfonts
from cadenza.corpus.sampled_notes import notes_font
from cadenza.corpus.score_pack import pack
from cadenza.corpus.sources import pieces
from cadenza.corpus.split import assign
from cadenza.corpus.store import load_pieces

DRUMS = (128, 0)
FLUID = (0, 2, 6, 11, 17, 19, 24, 25, 26, 27, 32, 33, 36, 40, 41, 42, 43, 45, 46, 48, 49, 52, 53, 56, 57, 60, 61, 64,
         65, 66, 68, 70, 71, 73, 74)  # fmt: skip
MUSESCORE = (4, 5, 11, 12, 15, 16, 20, 21, 22, 25, 38, 40, 41, 42, 43, 46, 52, 53, 54, 56, 57, 60, 64, 65, 66, 67, 68,
             69, 70, 71, 72, 73, 75, 85, 106, 111)  # fmt: skip
FREEPATS = tuple(range(120))
NOTES = {
    "piano": 0, "xylophone": 13, "organ": 19, "harmonium": 20, "guitar-nylon": 24, "guitar-acoustic": 25,
    "guitar-electric": 27, "bass-electric": 33, "violin": 40, "cello": 42, "contrabass": 43, "harp": 46, "trumpet": 56,
    "trombone": 57, "tuba": 58, "french-horn": 60, "saxophone": 65, "bassoon": 70, "clarinet": 71, "flute": 73,
}  # fmt: skip
WHERE = {
    "fluid": "fluidr3mono-gm-soundfont/usr/share/fluidr3mono-gm-soundfont/FluidR3Mono_GM.sf3",
    "musescore": "musescore-general-soundfont/usr/share/sounds/sf3/MuseScore_General_Full.sf3",
    "freepats": "freepats/usr/share/midi/freepats/Tone_000",
    "timgm6mb": "timgm6mb-soundfont/usr/share/sounds/sf2/TimGM6mb.sf2",
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the shared music data")
    parser.add_argument("--pieces", type=Path, help="a store of all its pieces with their splits, instead of --data")
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--notes", type=Path, help="folders of recorded notes by instrument")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.pieces:
        whole = load_pieces(options.pieces)
    else:
        whole = assign(list(pieces(options.data)))
    packed = pack(whole)
    packed.save(options.out / "scores.npz")
    print(len(packed), "pieces", len(packed.notes), "notes")
    fluid = soundfonts.read_font(options.fonts / WHERE["fluid"])
    soundfonts.write_font(soundfonts.cut(fluid, [*((0, n) for n in FLUID), DRUMS]), options.out / "fluid.sf3")
    musescore = soundfonts.read_font(options.fonts / WHERE["musescore"])
    soundfonts.write_font(
        soundfonts.cut(musescore, [*((0, n) for n in MUSESCORE), DRUMS]), options.out / "musescore.sf3"
    )
    for name, wanted in (("grand", ((0, 0),)), ("sections", ((20, 49), (40, 49)))):
        font = soundfonts.without_right(soundfonts.cut(musescore, wanted))
        soundfonts.write_font(soundfonts.compressed(font, 0.85, 6.0), options.out / f"{name}.sf3")
    patches = soundfonts.patches_font(
        options.fonts / WHERE["freepats"], "FreePats", "FreePats project, GPL 2 with exception for what is rendered"
    )
    wanted = [(0, n) for n in FREEPATS]
    soundfonts.write_font(
        soundfonts.compressed(soundfonts.cut(patches, wanted), 0.7, 8.0), options.out / "freepats.sf3"
    )
    if options.notes:
        recorded = notes_font(
            {program: options.notes / name for name, program in NOTES.items()}, "Recorded notes",
            "tonejs-instruments, CC BY 3.0, of public domain sources",
        )  # fmt: skip
        soundfonts.write_font(soundfonts.compressed(recorded, 0.7, 9.0), options.out / "notes.sf3")
    test_font = soundfonts.compressed(soundfonts.read_font(options.fonts / WHERE["timgm6mb"]), 0.3)
    soundfonts.write_font(test_font, options.out / "test-only-timgm6mb.sf3")
    for path in sorted(options.out.iterdir()):
        print(f"{path.name:<16}{path.stat().st_size / 2**20:8.2f} MiB")


if __name__ == "__main__":
    main()
