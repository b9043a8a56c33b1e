"""One frozen dataclass a verb ⇄ YAML ⇄ flags. Unknown keys fail with a suggestion; values are checked against types."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from cadenza.base.errors import ConfigError, did_you_mean

T = TypeVar("T")


def build_config(kind: type[T], values: dict[str, Any], where: str = "") -> T:
    """``kind(**values)`` after checking names and types.

    Raises:
        ConfigError: an unknown key, or a value of the wrong type.
    """
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    hints = get_type_hints(kind)
    checked = {}
    for key, value in values.items():
        if key not in known:
            raise ConfigError("a known key", repr(key), where=where, hint=did_you_mean(key, known))
        checked[key] = _fit(value, hints[key], f"{where} {key}".strip())
    return kind(**checked)


def _fit(value: Any, hint: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(hint):
            return None
        return _fit(value, next(a for a in get_args(hint) if a is not type(None)), where)
    expected = origin or hint
    if is_dataclass(expected) and isinstance(expected, type):
        if isinstance(value, expected):
            return value
        if not isinstance(value, dict):
            raise ConfigError("key: value lines", repr(value), where=where)
        return build_config(expected, value, where)
    if expected is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(expected, type):
        return value
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise ConfigError(f"a value of type {expected.__name__}", repr(value), where=where)
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: it is missing, not YAML, or not a mapping.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError("a YAML file", str(error).partition("\n")[0], where=str(path)) from None
    if not isinstance(values, dict):
        raise ConfigError("key: value lines", type(values).__name__, where=str(path))
    return values


def load_config(kind: type[T], arguments: Sequence[str]) -> T:
    """Defaults < recipe file < ``--set key=value`` flags; ``--set part.key=value`` reaches into a part.

    Raises:
        ConfigError: anything that does not fit.
    """
    import yaml

    values: dict[str, Any] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--set":
            if not words or "=" not in words[0]:
                raise ConfigError("key=value after --set", repr(words[0]) if words else "nothing")
            key, _, text = words.pop(0).partition("=")
            try:
                _set(values, key.split("."), yaml.safe_load(text))
            except yaml.YAMLError as error:
                raise ConfigError("a YAML value", str(error).partition("\n")[0], where=f"--set {key}") from None
        else:
            values |= read_yaml(Path(word))
    return build_config(kind, values, "recipe")


def _set(values: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Put ``value`` at a path of nested mappings."""
    for number, name in enumerate(path[:-1], 1):
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"a part with keys at {'.'.join(path[:number])}", repr(inner), where=".".join(path))
        values = inner
    values[path[-1]] = value
