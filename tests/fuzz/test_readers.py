"""Every reader of others' bytes, a short while: `make fuzz` goes on for long.

FEDLEARN_FUZZ is the number of damaged inputs of each reader, FEDLEARN_FUZZ_SEED chooses others.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.fuzz.all import ALL
from tests.fuzz.loop import Reader, fuzz
from tests.fuzz.mutate import LONGEST, damaged

COUNT = int(os.environ.get("FEDLEARN_FUZZ", "300"))
SEED = int(os.environ.get("FEDLEARN_FUZZ_SEED", "0"))


@pytest.mark.parametrize("reader", ALL, ids=lambda reader: reader.name)
def test_damaged_bytes_meet_typed_errors_only(reader):
    report = fuzz(reader, COUNT, SEED)
    wrong = [text for what, text in report.failures.items() if what not in ("slower than a second", "more than 500 MB")]
    assert not wrong, "\n".join(wrong)


def test_the_loop_finds_what_it_is_for():
    def read(data: bytes) -> None:
        if len(data) > 3:
            raise KeyError(data[:1])

    report = fuzz(Reader("naive", lambda: [b"abc"], read), 200, seed=1)
    assert [text.partition(" at ")[0] for text in report.failures] == ["KeyError"]
    assert report.inputs == 200
    assert 0 < report.taken < 200


def test_damage_follows_from_the_seed_and_stays_within_its_limit():
    one, other = ([damaged([b"x" * 99], [b"["], random.Random(seed)) for _ in range(1)] for seed in (3, 3))
    assert one == other
    rng = random.Random(0)
    inputs = [damaged([b"x" * 99, b"y" * 5], [b"[" * 5000], rng) for _ in range(2000)]
    assert len(set(inputs)) > 1500
    assert max(map(len, inputs)) <= LONGEST
    assert any(len(data) > 5000 for data in inputs)
    assert b"" in inputs
