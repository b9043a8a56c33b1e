"""``cadenza doctor``: does this installation work, and what is missing for what."""

from __future__ import annotations

import typer

#: (module, what it is for, whether the core needs it)
_PARTS = (
    ("numpy", "everything", True),
    ("guitarpro", "Guitar Pro 3–5", True),
    ("onnxruntime", "composing quickly (else plain NumPy)", True),
    ("PIL", "pictures", True),
    ("defusedxml", "MusicXML", True),
    ("tinysoundfont", "playing SoundFonts (else the built-in synthesizer)", False),
    ("verovio", "sheet music and tablature (.svg, .pdf, .png): pip install 'cadenza[sheet]'", False),
    ("openvino", "a faster ear: pip install 'cadenza[fast]'", False),
    ("soundfile", "compressed sound (.mp3): pip install 'cadenza[sound]'", False),
    ("typst", "sheet music and tablature as .pdf and .png: pip install 'cadenza[sheet]'", False),
    ("torch", "training", False),
    ("transformers", "training", False),
)


def doctor() -> None:
    """Check the installation: Python, packages, formats, the shipped model, one bar composed."""
    import importlib.util
    import platform
    from importlib.metadata import version

    from cadenza import __version__, formats

    problems = 0
    typer.echo(f"cadenza {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    for module, purpose, needed in _PARTS:
        found = importlib.util.find_spec(module) is not None
        problems += needed and not found
        typer.echo(
            f"{'✓' if found else '✗' if needed else '–'} {module}: {purpose}{'' if found else ' (not installed)'}"
        )
    typer.echo(f"✓ reads: {' '.join('.' + s for s in formats.suffixes('read'))}")
    typer.echo(f"✓ writes: {' '.join('.' + s for s in formats.suffixes('write'))}")
    problems += not _composes()
    if importlib.util.find_spec("onnxruntime"):
        typer.echo(f"✓ onnxruntime {version('onnxruntime')}")
    typer.echo("all well" if not problems else f"{problems} problem(s)")
    raise typer.Exit(1 if problems else 0)


def _composes() -> bool:
    from cadenza.base.errors import CadenzaError
    from cadenza.infer.generate import continue_score
    from cadenza.infer.model import load_model
    from cadenza.score.model import Note, Score, Track

    seed = Score((Track.of([Note(i * 480, 480, 60 + i % 5) for i in range(16)]),))
    try:
        model = load_model()
        take = continue_score(seed, model, bars=1)
    except CadenzaError as error:
        typer.echo(f"✗ the shipped model does not compose: {error}")
        return False
    typer.echo(f"✓ the shipped model ({model.folder.name}, {type(model.decoder).__name__}) wrote {take.n_notes} notes")
    return True
