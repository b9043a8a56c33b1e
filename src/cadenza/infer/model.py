"""A composer's model folder: decoder, vocabulary and the notation that it was trained in, never retyped."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from cadenza.base.errors import ConfigError, ModelError
from cadenza.base.tensors import read_json_object, read_model_file
from cadenza.model.decoder import Decoder, open_decoder
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation import NOTATIONS
from cadenza.notation.simplified import SimplifiedMidi

SHIPPED = "shipped"


@dataclass(frozen=True)
class ComposerModel:
    """What composing needs of a model.

    Args:
        folder: where it lies.
        context_tokens: longest text that it was trained on.
    """

    folder: Path
    decoder: Decoder
    vocabulary: Vocabulary
    notation: SimplifiedMidi
    context_tokens: int


def shipped_folder() -> Path:
    """The folder of the model that comes with the package."""
    return Path(str(files("cadenza"))) / "models" / "first"


def load_model(
    folder: Path | str = SHIPPED, *, batch: int = 1, threads: int = 1, precision: str = "int8"
) -> ComposerModel:
    """Open a model folder.

    Raises:
        ModelError: a file is missing or not what it should be.
    """
    path = shipped_folder() if str(folder) == SHIPPED else Path(folder)
    if not path.is_dir():
        raise ModelError("a model folder", "none there", where=str(path), hint="Give a folder, or leave --model out.")
    saved = read_json_object(read_model_file(path / "notation.json"), str(path / "notation.json"))
    try:
        notation = NOTATIONS.load(saved["name"])(**saved["options"])
        context = int(saved["context_tokens"])
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise ModelError("a notation with its options", str(error), where=str(path / "notation.json")) from None
    vocabulary = Vocabulary.load(path / "vocabulary.json")
    if not (isinstance(notation, SimplifiedMidi) and notation.bars and notation.compact):
        raise ModelError(
            "a notation with bar words", saved["name"], where=str(path), hint="Other notations come later."
        )
    # Some room beyond the context: the last bar may end a little after it.
    decoder = open_decoder(path, batch=batch, max_length=2 * context, threads=threads, precision=precision)
    return ComposerModel(path, decoder, vocabulary, notation, context)
