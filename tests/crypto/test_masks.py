from __future__ import annotations

import contextlib
import secrets
from math import comb

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import example, given
from hypothesis import strategies as st

from fedlearn.crypto.agreement import AgreementKey, seal, unseal
from fedlearn.crypto.lanes import residues_from_bytes, residues_to_bytes
from fedlearn.crypto.masks import add_masks, to_signed
from fedlearn.crypto.neighbours import choose_neighbourhood, neighbours
from fedlearn.crypto.shamir import join, split
from fedlearn.errors import CiphertextError, CodecError, CryptoKeyError

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


def test_agreement_is_mutual_and_bound_to_its_context():
    one, two, three = AgreementKey(), AgreementKey(), AgreementKey()
    assert one.agree(two.public, b"round 1") == two.agree(one.public, b"round 1")
    keys = {one.agree(two.public, b"round 1"), one.agree(two.public, b"round 2"), one.agree(three.public, b"round 1")}
    assert len(keys) == 3
    restored = AgreementKey(one.secret)
    assert restored.public == one.public
    assert one.secret.hex()[:16] not in repr(one)


def test_agreement_follows_x25519_and_hkdf_of_the_library():
    ours = AgreementKey()
    theirs = X25519PrivateKey.generate()
    public = theirs.public_key().public_bytes_raw()
    low, high = sorted((ours.public, public))
    info = b"fedlearn/agreement/1" + low + high + b"here"
    shared = theirs.exchange(X25519PublicKey.from_public_bytes(ours.public))
    assert ours.agree(public, b"here") == HKDF(hashes.SHA256(), 32, None, info).derive(shared)


@pytest.mark.parametrize("public", [bytes(32), (1).to_bytes(32, "little"), bytes(31)])
def test_public_keys_that_force_a_secret_are_refused(public):
    with pytest.raises(CryptoKeyError, match="cannot be agreed with"):
        AgreementKey().agree(public, b"")


def test_secrets_of_another_length_are_refused():
    with pytest.raises(CryptoKeyError, match="32 bytes, not 31"):
        AgreementKey(bytes(31))


def test_sealed_letters():
    key = secrets.token_bytes(32)
    sealed = seal(key, b"two shares", b"round 1, from 3 to 5")
    assert unseal(key, sealed, b"round 1, from 3 to 5") == b"two shares"
    assert seal(key, b"two shares", b"") != seal(key, b"two shares", b"")
    for bad in (sealed[:-1], sealed[:5], b"", bytes([sealed[0] ^ 1]) + sealed[1:]):
        with pytest.raises(CiphertextError, match="damaged"):
            unseal(key, bad, b"round 1, from 3 to 5")
    for other_key, context in ((key, b"round 2, from 3 to 5"), (bytes(32), b"round 1, from 3 to 5")):
        with pytest.raises(CiphertextError, match="another key or use"):
            unseal(other_key, sealed, context)


@pytest.mark.parametrize("holders", range(1, 25))
def test_any_number_of_shares_works(holders):
    for threshold in range(1, holders + 1):
        secret = secrets.token_bytes(32)
        shares = split(secret, threshold, range(1, holders + 1))
        assert len(shares) == holders
        late = dict(sorted(shares.items(), reverse=True)[:threshold])
        assert join(shares, threshold) == join(late, threshold) == secret


@given(st.binary(min_size=32, max_size=32), st.sets(st.integers(1, 10**6), min_size=2, max_size=21), st.data())
def test_shares_of_any_holders_and_too_few_of_them(secret, holders, data):
    threshold = data.draw(st.integers(2, len(holders)))
    shares = split(secret, threshold, holders)
    chosen = data.draw(st.permutations(sorted(holders)))
    assert join({h: shares[h] for h in chosen[:threshold]}, threshold) == secret
    few = {h: shares[h] for h in chosen[: threshold - 1]}
    with pytest.raises(CiphertextError, match="too few holders"):
        join(few, threshold)
    with contextlib.suppress(CiphertextError):  # the field is a little larger than the secrets
        assert join(few, threshold - 1) != secret


def test_extreme_secrets():
    for secret in (bytes(32), b"\xff" * 32):
        assert join(split(secret, 3, [1, 5, 9, 12]), 3) == secret


def test_one_share_says_nothing():
    """The first share of a fixed secret spreads over the whole field."""
    top = [split(bytes(32), 2, [1, 2])[1][1] for _ in range(4000)]
    counts = np.bincount(np.array(top) // 16, minlength=16)
    assert ((counts - 250) ** 2 / 250).sum() < 70  # chi square: 15 degrees of freedom, p < 1e-8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((bytes(31), 2, [1, 2]), "32 bytes"),
        ((bytes(32), 3, [1, 2]), "threshold 3 of 2"),
        ((bytes(32), 0, [1, 2]), "threshold 0"),
        ((bytes(32), 1, [0, 2]), "share at 0"),
        ((bytes(32), 2, [2, 2]), "different"),
    ],
)
def test_impossible_sharings_are_refused(arguments, said):
    with pytest.raises(CryptoKeyError, match=said):
        split(*arguments)


def test_malformed_shares_are_named():
    shares = split(bytes(32), 2, [1, 2])
    for bad in (b"", b"\xff" * 33, bytes(32)):
        with pytest.raises(CiphertextError, match="share of holder 2 is malformed"):
            join({**shares, 2: bad}, 2)


@pytest.mark.parametrize("count", [3, 4, 5, 7, 10, 30, 100, 400])
def test_the_graph_is_mutual_connected_and_of_one_degree(count):
    plan = choose_neighbourhood(count)
    clients = [7 * i + 3 for i in range(count)]
    graph = neighbours(clients, plan.degree, b"round 1")
    assert set(graph) == set(clients)
    for client, near in graph.items():
        assert len(near) == len(set(near)) == plan.degree
        assert client not in near
        assert all(client in graph[other] for other in near)
    assert graph == neighbours(clients, plan.degree, b"round 1")
    if plan.degree < count - 1:
        assert graph != neighbours(clients, plan.degree, b"round 2")


@pytest.mark.parametrize("count", [3, 4, 5, 6, 10, 17, 50, 100, 1000])
@pytest.mark.parametrize("fractions", [(0.2, 0.3), (0.0, 0.1), (0.33, 0.1)])
def test_the_guarantee_holds_as_stated(count, fractions):
    plan = choose_neighbourhood(count, *fractions)
    holders = plan.degree + 1
    assert plan.corrupt >= fractions[0] * count
    assert plan.insecurity <= 2**-40
    assert plan.failure <= 2**-20
    assert 2 * plan.threshold > holders
    assert plan.threshold > min(plan.corrupt, plan.degree) or plan.insecurity > 0
    if plan.degree == count - 1:
        assert plan.corrupt < plan.threshold <= count - plan.dropouts


@pytest.mark.parametrize(("count", "fractions"), [(100, (0.1, 0.2)), (200, (0.2, 0.3)), (500, (0.33, 0.33))])
def test_stated_probabilities_follow_from_exact_binomials_and_no_smaller_degree_would_do(count, fractions):
    plan = choose_neighbourhood(count, *fractions)

    def bounds(degree, threshold):
        def hits(marked, least):
            ways = [comb(marked, h) * comb(count - 1 - marked, degree - h) for h in range(least, degree + 1)]
            return count * sum(ways) / comb(count - 1, degree)

        run, gone = degree // 2, plan.corrupt + plan.dropouts
        apart = count * comb(gone, run) / comb(count, run)
        return hits(plan.corrupt, threshold) + apart, hits(plan.dropouts, degree - threshold + 1)

    stated = plan.insecurity, plan.failure
    assert bounds(plan.degree, plan.threshold) == pytest.approx(stated, rel=1e-6, abs=1e-25)
    smaller = plan.degree - 2
    for threshold in range(smaller // 2 + 1, smaller + 1):
        insecurity, failure = bounds(smaller, threshold)
        assert insecurity > 2**-40 or failure > 2**-20


def test_sparse_graphs_grow_slowly():
    degrees = [choose_neighbourhood(n).degree for n in (100, 1000, 10_000, 100_000)]
    assert degrees == sorted(degrees)
    assert degrees[-1] < 400


@pytest.mark.parametrize(("degree", "threshold"), [(6, 4), (10, 6)])
def test_bounds_on_what_goes_wrong_are_bounds(degree, threshold):
    """Frequencies over random circles, for a graph far too sparse for the purpose, stay below the stated bounds."""
    from fedlearn.crypto.neighbours import _disconnected, _tails

    count, corrupt, dropouts, trials = 40, 8, 8, 1500
    logs = np.concatenate([[0.0], np.log(np.arange(1, count + 1)).cumsum()])
    opened = stuck = apart = 0
    for trial in range(trials):
        graph = neighbours(range(count), degree, trial.to_bytes(4, "big"))
        bad, gone = set(range(corrupt)), set(range(corrupt, corrupt + dropouts))
        opened += any(len(bad & set(graph[c])) >= threshold for c in set(graph) - bad)
        stuck += any(len(set(graph[c]) - gone) < threshold for c in graph)
        apart += not connected(graph, set(graph) - bad - gone)
    slack = 4 * (trials * 0.25) ** 0.5  # four standard deviations at most
    assert 0 < opened <= min(1, count * _tails(logs, corrupt, degree)[threshold]) * trials + slack
    assert 0 < stuck <= min(1, count * _tails(logs, dropouts, degree)[degree - threshold + 1]) * trials + slack
    assert apart <= _disconnected(logs, corrupt + dropouts, degree) * trials + slack


def connected(graph, members):
    reached, edge = set(), [next(iter(members))]
    while edge:
        client = edge.pop()
        if client not in reached:
            reached.add(client)
            edge += [other for other in graph[client] if other in members]
    return reached == members


@pytest.mark.parametrize(
    ("arguments", "said"),
    [((2,), "at least 3"), ((10, 0.6, 0.5), "below 1"), ((10, -0.1, 0.2), "negative"), ((10, 0.2, 0.7), "dropouts")],
)
def test_impossible_neighbourhoods_are_refused(arguments, said):
    with pytest.raises(CryptoKeyError, match=said):
        choose_neighbourhood(*arguments)


@pytest.mark.parametrize("degree", [0, 3, 10, 12])
def test_impossible_degrees_are_refused(degree):
    with pytest.raises(CryptoKeyError, match="an even number below 10"):
        neighbours(range(10), degree, b"")


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
        opened = join({h: s for h, s in shares[c][0].items() if h not in gone}, plan.threshold)
        total = add_masks(total, [], [opened], 21)
    for c in gone:
        opened = AgreementKey(join({h: s for h, s in shares[c][1].items() if h not in gone}, plan.threshold))
        plus = [opened.agree(pair_keys[o].public, b"mask") for o in graph[c] if o > c and o not in gone]
        minus = [opened.agree(pair_keys[o].public, b"mask") for o in graph[c] if o < c and o not in gone]
        total = add_masks(total, plus, minus, 21)
    np.testing.assert_array_equal(to_signed(total, 21), sum(values[c] for c in stayed))


@given(st.integers(4, 60), st.data())
def test_tails_are_the_hypergeometric_distributions(count, data):
    """Against exact binomials."""
    from fedlearn.crypto.neighbours import _tails

    marked, draws = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, count - 1))
    logs = np.concatenate([[0.0], np.log(np.arange(1, count + 1)).cumsum()])
    ways = [comb(marked, h) * comb(count - 1 - marked, draws - h) for h in range(draws + 1)]
    exact = [sum(ways[least:]) / comb(count - 1, draws) for least in range(draws + 1)]
    np.testing.assert_allclose(_tails(logs, marked, draws), exact, rtol=1e-9, atol=1e-15)
