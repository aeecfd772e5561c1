"""Odd values in the place of usual ones, in plain data that stay well-formed: a reader gets as far as using them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any
from zlib import crc32

ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 10**9, 2**63 - 1, 2**64 - 1, -(2**63), -0.5, 1e308, float("nan"), float("inf"),
    "", "x", "none", "paillier", "os:system", "\x1b[2J", "fedlearn.models.spam:SpamClassifier", [], {}, [[[]]],
    {"class": "fedlearn.nn:Linear", "args": [10**9, 10], "kwargs": {}}, {"a": 1}, [1, 2, 3],
    {"class": "fedlearn.nn:LayerNorm", "args": [[10**5, 10**5]], "kwargs": {}},
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*at, name)
        yield from places(item, (*at, name))


def with_odd_values(value: Any, rng: random.Random, odd: tuple[Any, ...] = ODD) -> Any:
    """`value`, a dict or list, changed in one to three places."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        found = [*places(value)]
        if not found:
            break
        *outer, last = rng.choice(found)
        inner = value
        for name in outer:
            inner = inner[name]
        inner[last] = deepcopy(rng.choice(odd))
    return value


def odd_json(samples: Callable[[], list[bytes]], lines: bool = True) -> Callable[[bytes], bytes]:
    """A repair: the first sample, JSON or lines of JSON, with odd values; which ones follows from the damaged bytes."""

    def repair(data: bytes) -> bytes:
        rng, sample = random.Random(crc32(data)), samples()[0]
        if not lines:
            return json.dumps(with_odd_values(json.loads(sample), rng)).encode()
        rows = sample.splitlines()
        at = rng.randrange(len(rows))
        rows[at] = json.dumps(with_odd_values(json.loads(rows[at]), rng)).encode()
        return b"\n".join([*rows, b""])

    return repair
