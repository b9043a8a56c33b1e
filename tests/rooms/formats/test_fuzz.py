"""Any bytes give a score or one typed error within budget: seeded mutations and bombs of every readable format.

The short form; ``python -m tests.fuzz all --n N`` and ``make fuzz`` are the long ones. What is read goes on to text,
and now and then to a picture. (MIDI has its own file beside this one.)
"""

from __future__ import annotations

import os

import pytest

from cadenza import formats
from tests import fuzz, fuzz_seeds

MUTATIONS = {"gp3": 2000, "gp4": 2000, "gp5": 2000, "smidi": 2000, "musicxml": 2000, "mxl": 2000, "jams": 300}


def test_every_readable_format_is_fuzzed():
    assert set(fuzz_seeds.SUFFIXES) == {*MUTATIONS, "mid"}
    assert set(formats.suffixes("read")) - {"midi", "xml"} == set(fuzz_seeds.SUFFIXES)  # aliases of mid and musicxml


@pytest.mark.slow
@pytest.mark.parametrize("suffix", MUTATIONS)
def test_mutations(suffix, tmp_path):
    files = fuzz_seeds.seed_files(suffix, tmp_path, os.environ.get("CADENZA_SHARED"))
    found = fuzz.run(suffix, files, MUTATIONS[suffix], seed=1, through=100)
    assert found.broken == []
    assert sum(found.outcomes.values()) == MUTATIONS[suffix]


@pytest.mark.parametrize("suffix", MUTATIONS)
def test_bombs(suffix, tmp_path):
    assert fuzz.run_bombs(suffix, tmp_path, through=1).broken == []
