"""`python -m tests.fuzz [--count N] [--seed S] [READER ...]`: the long run, which `make fuzz` starts."""

from __future__ import annotations

import argparse
import logging
import sys

from tests.fuzz.all import ALL
from tests.fuzz.loop import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000, help="damaged inputs of each reader, times its weight")
    parser.add_argument("--seed", type=int, default=0, help="other inputs for every seed")
    parser.add_argument("readers", nargs="*", help="part of a reader's name; all, where none is given")
    arguments = parser.parse_args()
    failed = 0
    logging.disable()
    for reader in ALL:
        if arguments.readers and not any(part in reader.name for part in arguments.readers):
            continue
        report = fuzz(reader, arguments.count, arguments.seed)
        print(report, *report.failures.values(), sep="\n  ", flush=True)
        failed += len(report.failures)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
