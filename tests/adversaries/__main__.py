"""`python -m tests.adversaries [--runs N] [--seed S] [--jobs J]`: random runs under each protection, which `make runs`
starts. One line a run says what its party did and what came of it; the last ones count them."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.adversaries.outcomes import summary, tried
from tests.adversaries.random_runs import PROTECTIONS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200, help="under each protection")
    parser.add_argument("--seed", type=int, default=0, help="other runs for every seed")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    arguments = parser.parse_args()
    seeds = range(1000 * arguments.seed, 1000 * arguments.seed + arguments.runs)
    outcomes = []
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn"), logging.disable) as jobs:
        runs = [jobs.submit(tried, name, seed) for seed in seeds for name in PROTECTIONS]
        for run in as_completed(runs):
            outcomes.append(run.result())
            print(outcomes[-1], flush=True)
    print(*summary(outcomes), sep="\n")
    return 1 if any(outcome.fault for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
