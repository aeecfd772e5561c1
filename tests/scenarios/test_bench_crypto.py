"""What the crypto benchmark measures is right before it is quick; how quick it is here is not looked at."""

from __future__ import annotations

from itertools import islice

import numpy as np

from scenarios.bench import crypto
from scenarios.bench.crypto_rounds import masks_round
from scenarios.bench.crypto_schemes import CODEC, schemes

BITS = 2048


def test_schemes_open_the_mean_within_the_codecs_bound_and_count_whole_ciphertexts(monkeypatch):
    """The quicker ones, each step once; lanes and bytes as the formulas give them."""
    monkeypatch.setattr(crypto, "BUDGET", 0.0)
    values = np.random.default_rng(0).uniform(-1, 1, (2, crypto.SIZE))
    *ours, phe = (crypto.measure(s, values) for s in islice(schemes(BITS), 6) if s.name[:5] in ("r^n", "CRT, ", "phe"))
    lanes = (BITS - 2) // CODEC.lane_bits
    assert len(ours) == 2
    for row in ours:
        assert 0 < row.max_error <= CODEC.error_bound()
        assert row.bytes_per_value * row.values == -(-row.values // lanes) * BITS // 4
    assert phe.max_error < 1e-15
    assert phe.bytes_per_value == BITS // 4


def test_a_round_of_masks_opens_the_plain_sum():
    masks = masks_round(clients=10, size=50, vanish=0.2)
    assert (masks["degree"], masks["threshold"], masks["insecurity"]) == (9, 6, 0)
