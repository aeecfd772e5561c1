"""Random runs with one party that misbehaves. FEDLEARN_RUNS says how many, FEDLEARN_FUZZ_SEED where they begin."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from tests.adversaries.random_runs import check, random_run

pytestmark = pytest.mark.slow  # make runs; the other files here have one of each kind

RUNS = int(os.environ.get("FEDLEARN_RUNS", "12"))  # under each protection a client, a worker and a whole run
FIRST = int(os.environ.get("FEDLEARN_FUZZ_SEED", "0")) * 1000
LONGEST = 120.0  # seconds: some deadlines, and starting processes on a busy machine


@pytest.mark.parametrize("seed", range(FIRST, FIRST + RUNS))
def test_random_runs_with_one_party_that_misbehaves(seed, tmp_path):
    began = time.monotonic()
    run = random_run(seed, tmp_path)
    print(run.what, [(record.void, record.lost, record.attempts) for record in run.records])
    check(run, tmp_path)
    assert not multiprocessing.active_children()
    assert time.monotonic() - began < LONGEST, "a run hangs"
