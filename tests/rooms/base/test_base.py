"""The cellar: configuration, errors, registry, atomic files, limits."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint

import pytest

from cadenza.base import errors, registry
from cadenza.base.config import build_config, load_config, read_yaml
from cadenza.base.errors import CadenzaError, ConfigError, FormatError, LimitError, RegistryError, did_you_mean
from cadenza.base.files import write_atomically, writing_atomically
from cadenza.base.limits import Limits, read_bytes
from cadenza.base.registry import Registry
from cadenza.base.run import versions


@dataclass(frozen=True)
class Recipe:
    steps: int = 10
    rate: float = 0.5
    name: str = ""
    fast: bool = False
    seed: int | None = None
    weights: dict[str, float] = field(default_factory=dict)


# ── configuration ──


def test_config_takes_known_keys_and_whole_numbers_as_floats():
    config = build_config(Recipe, {"steps": 3, "rate": 1, "seed": None, "weights": {"a": 1.0}})
    assert config == Recipe(steps=3, rate=1.0, weights={"a": 1.0})
    assert isinstance(config.rate, float)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"stpes": 3}, "Did you mean 'steps'"),
        ({"steps": "3"}, "type int, found '3'"),
        ({"steps": True}, "type int, found True"),
        ({"steps": 3.5}, "type int"),
        ({"rate": "fast"}, "type float"),
        ({"rate": True}, "type float"),
        ({"fast": 1}, "type bool"),
        ({"seed": "x"}, "type int"),
        ({"name": None}, "type str"),
        ({"weights": [1]}, "type dict"),
    ],
)
def test_config_refuses_what_does_not_fit(values, said):
    with pytest.raises(ConfigError) as caught:
        build_config(Recipe, values, "recipe")
    assert said in str(caught.value)
    assert "recipe" in caught.value.where


def test_flags_override_files_which_override_defaults(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("steps: 1\nrate: 0.1\n")
    second.write_text("steps: 2\n")
    config = load_config(Recipe, [str(first), str(second), "--set", "name=x=y", "--set", "seed=7"])
    assert config == Recipe(steps=2, rate=0.1, name="x=y", seed=7)
    for words in (["--set"], ["--set", "steps"]):
        with pytest.raises(ConfigError, match="key=value"):
            load_config(Recipe, words)


@pytest.mark.parametrize("content", [b"- 1\n", b"a: [", b"\xff\xfe\xff", b"", None])
def test_yaml_that_is_no_mapping_is_a_config_error(tmp_path, content):
    path = tmp_path / "recipe.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert caught.value.where == str(path)


# ── errors ──


def test_errors_say_four_things_and_learn_their_place():
    error = FormatError("a chunk", "zeros", where="byte 4", hint="Save it again.")
    assert str(error) == "byte 4: expected a chunk, found zeros. Save it again."
    placed = error.at("a.mid")
    assert type(placed) is FormatError
    assert str(placed) == "a.mid, byte 4: expected a chunk, found zeros. Save it again."
    assert str(CadenzaError("a", "b").at("c")) == "c: expected a, found b."


def test_all_errors_have_one_root():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 10
    assert all(issubclass(kind, CadenzaError) and kind.__doc__ for kind in kinds)
    assert issubclass(LimitError, FormatError)


def test_did_you_mean():
    assert did_you_mean("tempoo", ["tempo", "metre"]) == "Did you mean 'tempo'?"
    assert did_you_mean("zzz", ["tempo", "metre"]) == "Known: metre, tempo."
    assert did_you_mean("zzz", []) == "None is registered."


# ── registry ──


class _Distribution:
    def __init__(self, name):
        self.name = name


def _point(name, value, owner):
    point = EntryPoint(name, value, "cadenza.things")
    vars(point)["dist"] = _Distribution(owner)
    return point


@pytest.fixture
def registered(monkeypatch):
    points = []
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])
    registry._parts.cache_clear()
    yield points
    registry._parts.cache_clear()


def test_registry_lists_without_importing_and_loads(registered):
    registered += [_point("b", "no.such.module", "one"), _point("a", "cadenza.base.limits:Limits", "one")]
    things = Registry("cadenza.things", "thing")
    assert things.names() == ["a", "b"]
    assert things.load("a") is Limits
    assert things.parts()["a"].summary.startswith("What a reader may spend")
    assert things.parts()["b"].summary == ""
    with pytest.raises(ImportError):
        things.load("b")
    with pytest.raises(RegistryError, match="a registered thing, found 'c'"):
        things.load("c")


def test_two_owners_of_a_name_fail_naming_both(registered):
    registered += [_point("a", "x.y", "one"), _point("a", "z.w", "other")]
    with pytest.raises(RegistryError, match=r"two: one \(x\.y\) and other \(z\.w\)"):
        Registry("cadenza.things", "thing").names()


def test_the_same_part_seen_twice_is_one(registered):
    registered += [_point("a", "x.y", "one"), _point("a", "x.y", "one")]
    assert Registry("cadenza.things", "thing").names() == ["a"]


# ── files ──


def test_write_replaces_and_keeps_nothing_else(tmp_path):
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")
    write_atomically(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.bin"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def _write_half(path, then):
    """Write a part, then call ``then``, if given, as a second write that fails would."""
    with writing_atomically(path) as file:
        file.write(b"new")
        if then:
            then()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["mkstemp", "write", "fsync", "chmod", "replace"])
@pytest.mark.parametrize("existed", [True, False])
def test_a_failing_call_leaves_the_old_file(tmp_path, monkeypatch, call, number, existed):
    path = tmp_path / "a.bin"
    if existed:
        path.write_bytes(b"old")

    def fail(*args, **options):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        if call == "mkstemp":
            patched.setattr("tempfile.mkstemp", fail)
        elif call != "write":
            patched.setattr(os, call, fail)
        with pytest.raises(FormatError) as caught:
            _write_half(path, fail if call == "write" else None)
    assert os.strerror(number) in str(caught.value)
    assert caught.value.where == str(path)
    assert os.listdir(tmp_path) == ["a.bin"] * existed
    if existed:
        assert path.read_bytes() == b"old"


def test_a_failing_fsync_of_the_folder_does_not_claim_that_nothing_changed(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    real, calls = os.fsync, []

    def second_fails(handle):
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fsync", second_fails)
    with pytest.raises(FormatError) as caught:
        write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert "Nothing was changed" not in str(caught.value)


def test_an_error_of_the_block_passes_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        _write_half(path, lambda: 1 // 0)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_no_folder_is_a_format_error(tmp_path):
    with pytest.raises(FormatError, match="a folder to write in, found no folder"):
        write_atomically(tmp_path / "none" / "a.bin", b"")


# ── limits ──


def test_limits_hold_at_the_bound_and_break_beyond():
    Limits(notes=5).check("notes", 5)
    with pytest.raises(LimitError, match="at most 5 notes, found 6"):
        Limits(notes=5).check("notes", 6, "a.mid")


def test_read_bytes(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"1234")
    assert read_bytes(path) == b"1234"
    with pytest.raises(LimitError):
        read_bytes(path, Limits(file_bytes=3))
    with pytest.raises(FormatError, match="a folder"):
        read_bytes(tmp_path)
    with pytest.raises(FormatError, match="nothing there"):
        read_bytes(tmp_path / "none")


def test_versions_name_what_is_installed():
    found = versions()
    assert {"python", "numpy", "onnxruntime"} <= set(found)
    assert all(value[0].isdigit() for value in found.values())
