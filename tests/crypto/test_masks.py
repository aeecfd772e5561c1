from __future__ import annotations

import secrets

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fedlearn.crypto.agreement import AgreementKey
from fedlearn.crypto.lanes import residues_from_bytes, residues_to_bytes
from fedlearn.crypto.masks import add_masks, to_signed
from fedlearn.crypto.neighbours import choose_neighbourhood, neighbours
from fedlearn.crypto.shamir import combine, split
from fedlearn.errors import CiphertextError, CodecError

SEEDS = [secrets.token_bytes(32) for _ in range(4)]


@given(st.integers(1, 64), st.integers(0, 200), st.integers(0, 2**32))
@example(32, 50, 0)
@example(33, 50, 0)
def test_masks_vanish_and_sums_are_exact(bits, size, seed):
    most = 2 ** (bits - 1) - 1
    values = np.random.default_rng(seed).integers(-most, most, size, endpoint=True)
    masked = add_masks(values, SEEDS[:2], SEEDS[2:], bits)
    assert int(masked.max(initial=0)) < 2**bits
    bare = add_masks(masked, SEEDS[2:], SEEDS[:2], bits)
    np.testing.assert_array_equal(to_signed(bare, bits), values)


def test_masked_values_look_uniform_and_differ_by_seed():
    zeros = np.zeros(64_000, np.int64)
    masked = add_masks(zeros, SEEDS[:1], [], 10)
    counts = np.bincount(masked, minlength=1024)
    assert ((counts - 62.5) ** 2 / 62.5).sum() < 1300  # chi square: 1023 degrees of freedom, p < 1e-8
    assert np.count_nonzero(masked == add_masks(zeros, SEEDS[1:2], [], 10)) < 200


def test_the_stream_is_chacha20():
    """The first block of RFC 8439, appendix A.1, test vector 1."""
    block = add_masks(np.zeros(2, np.int64), [bytes(32)], [], 64).tobytes()
    assert block.hex() == "76b8e0ada0f13d90405d6ae55386bd28"


@pytest.mark.parametrize("bits", [0, 65])
def test_impossible_moduli_are_refused(bits):
    with pytest.raises(CodecError, match="1 to 64 bits"):
        add_masks(np.zeros(1, np.int64), [], [], bits)


@given(st.integers(1, 64), st.data())
def test_residues_take_their_bits_and_come_back(bits, data):
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=150))
    residues = np.array(values, dtype=np.uint64)
    raw = residues_to_bytes(residues, bits)
    assert len(raw) == -(-len(values) * bits // 8)
    assert int.from_bytes(raw, "little") == sum(v << (bits * i) for i, v in enumerate(values))
    np.testing.assert_array_equal(residues_from_bytes(raw, bits, len(values)), residues)
    with pytest.raises(CiphertextError, match="wrong length"):
        residues_from_bytes(raw + b"\0", bits, len(values))


@pytest.mark.parametrize("count", [3, 8, 25])
def test_a_round_with_dropouts_recovers_the_exact_sum(count):
    """The mathematics of a whole round, without its messages: two clients vanish after masking, as far as t allows."""
    plan = choose_neighbourhood(count, corrupt_fraction=0.1, dropout_fraction=0.2)
    clients = range(1, count + 1)
    graph = neighbours(clients, plan.degree, b"round")
    rng = np.random.default_rng(5)
    values = {c: rng.integers(-1000, 1000, 37) for c in clients}
    pair_keys = {c: AgreementKey() for c in clients}
    own = {c: secrets.token_bytes(32) for c in clients}
    shares = {
        c: (split(own[c], plan.threshold, (c, *graph[c])), split(pair_keys[c].secret, plan.threshold, (c, *graph[c])))
        for c in clients
    }

    def pair_seeds(key, client):
        seeds = {o: key.agree(pair_keys[o].public, b"mask") for o in graph[client]}
        return [seeds[o] for o in graph[client] if o > client], [seeds[o] for o in graph[client] if o < client]

    masked = {}
    for c in clients:
        plus, minus = pair_seeds(pair_keys[c], c)
        masked[c] = add_masks(values[c], [own[c], *plus], minus, 21)
    gone = set(list(clients)[: min(2, count - plan.threshold)])
    stayed = [c for c in clients if c not in gone]
    total = sum(masked[c].astype(np.int64) for c in stayed)
    for c in stayed:
        opened = combine({h: s for h, s in shares[c][0].items() if h not in gone}, plan.threshold)
        total = add_masks(total, [], [opened], 21)
    for c in gone:
        opened = AgreementKey(combine({h: s for h, s in shares[c][1].items() if h not in gone}, plan.threshold))
        plus = [opened.agree(pair_keys[o].public, b"mask") for o in graph[c] if o > c and o not in gone]
        minus = [opened.agree(pair_keys[o].public, b"mask") for o in graph[c] if o < c and o not in gone]
        total = add_masks(total, plus, minus, 21)
    np.testing.assert_array_equal(to_signed(total, 21), sum(values[c] for c in stayed))
