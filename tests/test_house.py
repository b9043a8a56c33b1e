"""The house's own rules: who imports whom, what starts fast, that every part and recipe loads."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from cadenza.base.config import build_config, read_yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
ENTRY_POINTS = [
    EntryPoint(name, target, group)
    for group, parts in {"console_scripts": PROJECT["scripts"], **PROJECT["entry-points"]}.items()
    for name, target in parts.items()
]
FORMATS = sorted(set(PROJECT["entry-points"]["cadenza.formats"].values()))
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
HEAVY = {
    *("torch", "transformers", "onnxruntime", "onnx", "PIL", "guitarpro", "symusic", "matplotlib", "scipy", "numpy"),
    *("numba", "llvmlite", "tinysoundfont", "lxml", "music21", "pretty_midi", "mido", "verovio", "typst"),
}


def _loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after ``code``."""
    report = "import sys, json; print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def _run(*arguments: str) -> str:
    return f"""
from cadenza.app.cli.main import main
import sys
sys.argv = ["cadenza", {", ".join(map(repr, arguments))}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def test_import_contracts_hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("arguments", [("--help",), ("compose", "--help")], ids=" ".join)
def test_help_loads_nothing_heavy(arguments):
    assert _loaded_by(_run(*arguments)) & HEAVY == set()


def test_converting_loads_no_framework(tmp_path):
    loaded = _loaded_by(_run("convert", str(ROOT / "examples" / "chorale.mid"), str(tmp_path / "chorale.smidi")))
    assert "numpy" in loaded
    assert loaded & {"torch", "transformers", "onnxruntime", "onnx", "matplotlib", "scipy", "symusic", "numba"} == set()


def test_reading_a_few_files_for_a_corpus_compiles_nothing():
    path = str(ROOT / "examples" / "chorale.mid")
    code = f"from cadenza import formats\nfor _ in range(20): formats.read_quickly({path!r})"
    assert "numba" not in _loaded_by(code)


@pytest.mark.parametrize("point", ENTRY_POINTS, ids=lambda p: f"{p.group}:{p.name}")
def test_entry_point_loads(point):
    assert point.load() is not None


@pytest.mark.parametrize("target", FORMATS)
def test_format_reads_or_writes_and_says_so(target):
    module = importlib.import_module(target)
    verbs = [getattr(module, verb) for verb in ("read", "write") if hasattr(module, verb)]
    assert verbs, f"{target} has neither read nor write"
    for function in verbs:
        assert function.__doc__, f"{target}.{function.__name__} has no docstring"
    # The first line is what listings show.
    assert (module.__doc__ or "").partition("\n")[0].strip().endswith(".")
    if len(verbs) == 2:
        assert isinstance(module.PROJECTION, tuple), f"{target} reads and writes but declares no projection"


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_recipe_builds_its_config(path):
    pytest.importorskip("torch", reason="recipes are built with the training extra")
    from cadenza.train.pretrain import PretrainConfig

    kinds = {"first-model.yaml": PretrainConfig}
    assert path.name in kinds, f"{path.name}: name its config here"
    values = read_yaml(path)
    config = build_config(kinds[path.name], values, path.name)
    assert {name: getattr(config, name) for name in values} == values


def test_recipes_are_there():
    assert RECIPES


def _tracked_texts() -> list[tuple[str, str]]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    texts = []
    for name in names.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file():
            data = path.read_bytes()
            if b"\0" not in data:
                texts.append((name, data.decode("utf-8")))
    assert len(texts) > 50
    return texts


def test_no_file_names_a_folder_of_some_machine():
    folder = re.compile(r"(?<![\w.~])/(?:work|tmp|root|mnt|home/\w+|Users/\w+)/")
    assert [name for name, text in _tracked_texts() if folder.search(text)] == []


def test_no_file_chooses_where_packages_come_from():
    setting = re.compile("|".join(("index" + "-url", "find" + "-links", "trusted" + "-host", "PIP_" + "INDEX")))
    assert [name for name, text in _tracked_texts() if setting.search(text)] == []


def test_every_dependency_is_pinned():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    pinned = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins}
    extras = PROJECT["optional-dependencies"]
    wanted = [*PROJECT["dependencies"], *extras["sheet"], *extras["train"], *extras["test"]]
    names = {re.split(r"[<>=\[; ]", one)[0].lower().replace("_", "-") for one in wanted}
    assert names - pinned == set()
