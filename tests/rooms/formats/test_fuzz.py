"""Any bytes give a score or one typed error within budget: seeded mutations and bombs of every readable format.

The short form; ``python -m tests.fuzz all --n N`` and ``make fuzz`` are the long ones. What is read goes on to text,
and now and then to a picture. (MIDI has its own file beside this one.)
"""

from __future__ import annotations

import os

import pytest

from cadenza import formats
from tests import fuzz, fuzz_seeds

N_MUTATIONS = int(os.environ.get("CADENZA_FUZZ_N", "2000"))
SMALL_BYTES = 12_000  # of the shared files that are mutated here: what a large one can break, a small one can
SUFFIXES = [suffix for suffix in fuzz_seeds.SUFFIXES if suffix != "mid"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_readable_format_has_seeds_that_it_reads(suffix, tmp_path):
    paths = fuzz_seeds.seed_files(suffix, tmp_path)
    assert len(paths) >= 2
    assert any(formats.read(path).n_notes for path in paths)


def test_an_alias_is_another_suffix_of_one_format():
    for alias, suffix in zip(fuzz_seeds.ALIASES, ("mid", "musicxml", "dadagp"), strict=True):
        assert formats.FORMATS.load(alias) is formats.FORMATS.load(suffix)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_mutations(suffix, tmp_path):
    files = fuzz_seeds.seed_files(suffix, tmp_path, os.environ.get("CADENZA_SHARED"), SMALL_BYTES)
    found = fuzz.run(suffix, files, N_MUTATIONS, seed=1, through=100)
    assert found.broken == []
    assert sum(found.outcomes.values()) == N_MUTATIONS
    assert {"Score", "FormatError"} <= set(found.outcomes)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_bombs(suffix, tmp_path):
    assert fuzz.run_bombs(suffix, tmp_path, through=1).broken == []
