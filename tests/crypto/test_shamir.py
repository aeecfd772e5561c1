from __future__ import annotations

import contextlib
import secrets

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.crypto.shamir import PRIME, combine, split
from fedlearn.errors import CiphertextError, CryptoKeyError


@pytest.mark.parametrize("holders", range(1, 25))
def test_any_number_of_shares_works(holders):
    for threshold in range(1, holders + 1):
        secret = secrets.token_bytes(32)
        shares = split(secret, threshold, range(1, holders + 1))
        assert len(shares) == holders
        late = dict(sorted(shares.items(), reverse=True)[:threshold])
        assert combine(shares, threshold) == combine(late, threshold) == secret


@given(st.binary(min_size=32, max_size=32), st.sets(st.integers(1, 10**6), min_size=2, max_size=21), st.data())
def test_shares_of_any_holders_and_too_few_of_them(secret, holders, data):
    threshold = data.draw(st.integers(2, len(holders)))
    shares = split(secret, threshold, holders)
    chosen = data.draw(st.permutations(sorted(holders)))
    assert combine({h: shares[h] for h in chosen[:threshold]}, threshold) == secret
    few = {h: shares[h] for h in chosen[: threshold - 1]}
    with pytest.raises(CiphertextError, match="too few holders"):
        combine(few, threshold)
    with contextlib.suppress(CiphertextError):  # the field is a little larger than the secrets
        assert combine(few, threshold - 1) != secret


def test_extreme_secrets():
    for secret in (bytes(32), b"\xff" * 32):
        assert combine(split(secret, 3, [1, 5, 9, 12]), 3) == secret


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
        ((bytes(32), 1.0, [1, 2]), "threshold 1.0"),
        ((bytes(32), 1, [0, 2]), "share at 0"),
        ((bytes(32), 2, [2, 2]), "different"),
        ((bytes(32), 2, [2, 2 + PRIME]), "below the field's prime"),  # the same place as 2
        ((bytes(32), 1, [PRIME]), "below the field's prime"),  # the same place as 0: the share is the secret
        ((bytes(32), 1, [1.0, True]), "integers"),
        ((bytes(32), 1, [-1]), "from 1"),
        (("x" * 32, 1, [1]), "type str"),
    ],
)
def test_impossible_sharings_are_refused(arguments, said):
    with pytest.raises(CryptoKeyError, match=said):
        split(*arguments)


def test_malformed_shares_are_named():
    shares = split(bytes(32), 2, [1, 2])
    for bad in (b"", b"\xff" * 33, bytes(32)):
        with pytest.raises(CiphertextError, match="share of holder 2 is malformed"):
            combine({**shares, 2: bad}, 2)


def test_numpys_integers_are_holders():
    shares = split(bytes(range(32)), 2, np.array([3, 7]))
    assert combine({np.int64(holder): share for holder, share in shares.items()}, 2) == bytes(range(32))


@pytest.mark.parametrize("holder", [0, -1, PRIME, PRIME + 1, 1.0, True, "1"])
def test_holders_that_nobody_can_be_are_refused(holder):
    share = split(bytes(32), 2, [1, 2])[2]
    with pytest.raises(CiphertextError, match="a share of holder"):
        combine({holder: share, 2: share}, 2)


@pytest.mark.parametrize("threshold", [0, -1, 1.0, None])
def test_no_shares_are_no_secret(threshold):
    with pytest.raises(CiphertextError, match="at least 1"):
        combine({}, threshold)
