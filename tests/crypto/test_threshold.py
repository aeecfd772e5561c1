from __future__ import annotations

import hashlib
import itertools
import pickle
from dataclasses import replace

import gmpy2
import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.crypto import EncryptedVector, FixedPoint
from fedlearn.crypto.equality import _seed, multi_power, prove
from fedlearn.crypto.keyfiles import read_secret, write_secret
from fedlearn.crypto.primes import safe_prime
from fedlearn.crypto.threshold import KeyShare, PartialDecryption, ThresholdKey, deal, integer_lagrange
from fedlearn.errors import CiphertextError, CryptoKeyError

CODEC = FixedPoint(bits=16, bound=1.0, addends=10)
ROUND = b"session 1, round 7"


@pytest.fixture(scope="module")
def dealt():
    return deal(3, 5, 512, insecure_test_key=True)


@pytest.fixture(scope="module")
def other_deal():
    return deal(3, 5, 512, insecure_test_key=True)


@pytest.fixture(scope="module")
def total(dealt):
    """A sum of two vectors, and what it is."""
    public = dealt[0].public
    values = np.random.default_rng(3).integers(-CODEC.limit, CODEC.limit, (2, 4, 23), endpoint=True)
    return EncryptedVector.sum(public.encrypt(v, CODEC) for v in values), values.sum(axis=0)


@pytest.fixture(scope="module")
def answers(dealt, total):
    return [share.partial_decrypt(total[0], ROUND) for share in dealt[1]]


def test_any_three_of_five_decrypt_exactly(dealt, total, answers):
    for chosen in itertools.combinations(answers, 3):
        values, rejected = dealt[0].combine(total[0], chosen, ROUND)
        np.testing.assert_array_equal(values, total[1])
        assert rejected == {}
    values, _ = dealt[0].combine(total[0], reversed(answers), ROUND)
    np.testing.assert_array_equal(values, total[1])


@pytest.mark.parametrize(("needed", "trustees"), [(2, 2), (2, 3), (4, 4), (3, 7)])
def test_other_numbers_of_trustees(needed, trustees):
    key, shares = deal(needed, trustees, 256, insecure_test_key=True)
    values = np.arange(-20, 20)
    vector = key.public.encrypt(values, CODEC)
    answers = [share.partial_decrypt(vector, ROUND) for share in shares[-needed:]]
    np.testing.assert_array_equal(key.combine(vector, answers, ROUND)[0], values)


def test_too_few_trustees_fail_and_the_missing_are_named(dealt, total, answers):
    with pytest.raises(
        CiphertextError, match=r"2 valid partial decryptions, 3 are needed; missing trustees \[1, 3, 5\]"
    ):
        dealt[0].combine(total[0], [answers[1], answers[3], answers[1]], ROUND)


def test_two_shares_combined_as_if_they_were_enough_give_nothing(dealt, total, answers):
    """Not only refused: the mathematics of t - 1 answers does not reach a plaintext."""
    loose = replace(dealt[0], threshold=2)
    vector, _ = total
    forged = [share_answer for share_answer in answers[:2]]
    with pytest.raises(CiphertextError, match="do not combine"):
        loose._plaintexts(vector, forged)
    assert vector.addends == 2


def test_answers_are_of_the_ciphertexts_they_were_asked_for(dealt, total, answers):
    key, (vector, _) = dealt[0], total
    other = key.public.encrypt(np.zeros(vector.shape, np.int64), CODEC)
    with pytest.raises(CiphertextError, match="do not combine"):
        key.combine_verified(other, answers[:3])


def test_threads_change_nothing(dealt, total, answers):
    for threads in (1, 2, 7, 100):
        np.testing.assert_array_equal(dealt[0].combine_verified(total[0], answers[2:], threads), total[1])


def test_what_is_combined_is_a_root_of_the_sum(dealt, total, answers):
    """w = r^(4 D^2), which opens c for anybody: c^(4 D^2) = (1 + 4 D^2 m n) w^n modulo n^2."""
    key, (vector, _) = dealt[0], total
    n, nsquare, scale = key.public.modulus, key.public.nsquare, 4 * key.delta**2
    found = zip(vector.ciphertexts, key._roots(answers[:3]), key._plaintexts(vector, answers[:3]), strict=True)
    for ciphertext, root, plaintext in found:
        opened = (1 + n * plaintext * scale) * gmpy2.powmod(root, n, nsquare) % nsquare
        assert opened == gmpy2.powmod(ciphertext, scale, nsquare)


def _forgeries(dealt, other_deal, total, answers):
    """Answers of trustee 2 that are wrong, each in a way of its own."""
    key, shares = dealt
    vector, _ = total
    right = answers[1]
    modulus = key.public.modulus
    one_wrong = list(right.powers)
    one_wrong[-1] = one_wrong[-1] * 4 % modulus
    swapped = [right.powers[1], right.powers[0], *right.powers[2:]]
    yield "one power changed", replace(right, powers=one_wrong)
    yield "two powers swapped", replace(right, powers=swapped)
    yield "another trustee's powers", replace(right, powers=answers[2].powers)
    yield "another trustee's answer", replace(answers[2], trustee=2)
    yield "a power left out", replace(right, powers=right.powers[:-1])
    yield "a power out of range", replace(right, powers=[mpz(0), *right.powers[1:]])
    yield "a power that is no residue", replace(right, powers=[key.public.modulus, *right.powers[1:]])
    yield "another response", replace(right, proof=replace(right.proof, response=right.proof.response + 1))
    yield "another challenge", replace(right, proof=replace(right.proof, challenge=right.proof.challenge ^ 1))
    yield "an endless response", replace(right, proof=replace(right.proof, response=mpz(1) << 10_000))
    yield "another round", shares[1].partial_decrypt(vector, b"session 1, round 6")
    yield "another vector", shares[1].partial_decrypt(vector + vector, ROUND)
    yield "another key", replace(right, key=other_deal[0].public.fingerprint)


def test_a_forged_answer_is_named_and_the_round_survives(dealt, other_deal, total, answers):
    key, vector = dealt[0], total[0]
    for kind, forged in _forgeries(dealt, other_deal, total, answers):
        with pytest.raises(CiphertextError, match="partial decryption of trustee 2"):
            key.verify(vector, forged, ROUND)
        values, rejected = key.combine(vector, [answers[0], forged, answers[2], answers[4]], ROUND)
        np.testing.assert_array_equal(values, total[1], err_msg=kind)
        assert list(rejected) == [2], kind
        with pytest.raises(CiphertextError, match=r"missing trustees \[4, 5\]; rejected: .*trustee 2"):
            key.combine(vector, [answers[0], forged, answers[2]], ROUND)


def prove_falsely(share, vector, powers):
    """The best that a trustee who knows its share can do for powers it did not take."""
    secret = share.key.delta * share._value
    proof = prove(share.key._statement(vector, share.trustee, powers, ROUND), secret)
    return PartialDecryption(share.trustee, share.key.public.fingerprint, powers, proof)


def test_a_trustee_cannot_prove_powers_it_did_not_take(dealt, total, answers):
    key, shares = dealt
    wrong = [c * 4 % key.public.modulus for c in answers[0].powers]
    with pytest.raises(CiphertextError, match="wrong or forged share"):
        key.verify(total[0], prove_falsely(shares[0], total[0], wrong), ROUND)
    key.verify(total[0], prove_falsely(shares[0], total[0], answers[0].powers), ROUND)


def test_a_batch_proof_does_not_let_errors_cancel(dealt, total, answers):
    """Two wrong powers whose product is right."""
    key, shares = dealt
    powers = list(answers[0].powers)
    powers[0] = powers[0] * 4 % key.public.modulus
    powers[1] = powers[1] * gmpy2.invert(4, key.public.modulus) % key.public.modulus
    with pytest.raises(CiphertextError, match="wrong or forged share"):
        key.verify(total[0], prove_falsely(shares[0], total[0], powers), ROUND)


def test_errors_cannot_be_fitted_to_the_coefficients(dealt, total, answers):
    """Errors e0, e1 with e0^c0 e1^c1 = 1 for the coefficients of the right answer: they change with the answer."""
    key, shares = dealt
    statement = key._statement(total[0], 1, answers[0].powers, ROUND)
    stream = hashlib.shake_256(b"coefficients" + _seed(statement)).digest(32)
    first, second = (int.from_bytes(stream[at : at + 16], "big") for at in (0, 16))
    powers = list(answers[0].powers)
    modulus = key.public.modulus
    powers[0] = powers[0] * gmpy2.powmod(4, second, modulus) % modulus
    powers[1] = powers[1] * gmpy2.powmod(4, -first, modulus) % modulus
    fitted = multi_power(powers[:2], [first, second], modulus)
    assert fitted == multi_power(answers[0].powers[:2], [first, second], modulus)
    with pytest.raises(CiphertextError, match="wrong or forged share"):
        key.verify(total[0], prove_falsely(shares[0], total[0], powers), ROUND)


def integers_in(thing):
    """Every integer that a public object holds, its bytes read as integers too."""
    if isinstance(thing, int | type(mpz())):
        yield int(thing)
    elif isinstance(thing, bytes):
        yield int.from_bytes(thing, "big")
    elif isinstance(thing, list | tuple):
        for item in thing:
            yield from integers_in(item)
    elif hasattr(thing, "__dict__"):
        for item in vars(thing).values():
            yield from integers_in(item)


def test_no_public_object_lets_anyone_factor_the_modulus(dealt, total, answers):
    key = dealt[0]
    n = key.public.modulus
    key.to_bytes()
    found = {abs(x) for thing in (key, answers, total[0]) for x in integers_in(thing)}
    assert len(found) > 50
    assert key.public.n in found
    for x in found - {key.public.n, key.public.n**2, 0, 1}:
        for candidate in (x, x - 1, x + 1):
            assert gmpy2.gcd(candidate, n) in (1, n)
        # a multiple of the group's order, such as m or d, would make all fourth powers vanish, and n fall
        for base in (2, 3):
            root = gmpy2.powmod(base, x, n)
            assert gmpy2.powmod(root, 4, n) != 1


def test_shares_keep_their_secret(dealt):
    for share in dealt[1]:
        assert str(int(share._value)) not in repr(share)
        assert f"trustee {share.trustee}" in repr(share)
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(share)


def test_shares_and_keys_round_trip_through_files(dealt, total, answers, tmp_path):
    key, shares = dealt
    copy = ThresholdKey.from_bytes(key.to_bytes(), insecure_test_key=True)
    assert copy == key
    for share in shares[:3]:
        write_secret(tmp_path / f"share{share.trustee}", share.to_bytes())
    read = [KeyShare.from_bytes(read_secret(tmp_path / f"share{i}"), copy) for i in (1, 2, 3)]
    sent = [share.partial_decrypt(total[0], ROUND).to_bytes(copy) for share in read]
    values, _ = copy.combine(total[0], [PartialDecryption.from_bytes(data, copy) for data in sent], ROUND)
    np.testing.assert_array_equal(values, total[1])


def test_shares_of_another_key_are_refused(dealt, other_deal):
    share = dealt[1][0]
    with pytest.raises(CryptoKeyError, match="is expected"):
        KeyShare.from_bytes(share.to_bytes(), other_deal[0])
    with pytest.raises(CryptoKeyError, match="does not belong"):
        KeyShare(dealt[0], 2, share._value)
    with pytest.raises(CryptoKeyError, match="trustees 1 to 5"):
        KeyShare(dealt[0], 6, share._value)


def test_vectors_of_another_key_are_refused(dealt, answers, keys):
    """Of a longer one, too: its ciphertexts are no residues modulo the trustees' n^2."""
    key, shares = dealt
    vector = keys[0].encrypt(np.zeros(2, np.int64), CODEC)
    for ask in (
        lambda: shares[0].partial_decrypt(vector, ROUND),
        lambda: key.verify(vector, answers[0], ROUND),
        lambda: key.combine(vector, answers, ROUND),
    ):
        with pytest.raises(CiphertextError, match=f"vector encrypted to key {keys[0].fingerprint.hex()}, but"):
            ask()


@given(data=st.data())
def test_damaged_bytes_are_refused(dealt, answers, data):
    key, shares = dealt
    readers = [
        (key.to_bytes(), lambda raw: ThresholdKey.from_bytes(raw, insecure_test_key=True), CryptoKeyError),
        (shares[0].to_bytes(), lambda raw: KeyShare.from_bytes(raw, key), CryptoKeyError),
        (answers[0].to_bytes(key), lambda raw: PartialDecryption.from_bytes(raw, key), CiphertextError),
    ]
    raw, read, error = data.draw(st.sampled_from(readers))
    at = data.draw(st.integers(0, len(raw) - 1))
    damaged = bytearray(raw)
    damaged[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(error):
        read(bytes(damaged))
    with pytest.raises(error):
        read(raw[:at])


@pytest.mark.parametrize(("needed", "trustees"), [(1, 3), (0, 0), (4, 3), (2, 65), (-1, 3)])
def test_impossible_numbers_of_trustees_are_refused(needed, trustees):
    with pytest.raises(CryptoKeyError, match="at least 2, at most all trustees"):
        deal(needed, trustees, 256, insecure_test_key=True)


def test_small_threshold_keys_are_refused():
    with pytest.raises(CryptoKeyError, match="at least 2048"):
        deal(2, 3, 1024)
    with pytest.raises(CryptoKeyError, match="128 bits is the least"):
        deal(2, 3, 64, insecure_test_key=True)


@pytest.mark.parametrize("bits", [40, 64, 128, 300])
def test_safe_primes(bits):
    p = safe_prime(bits)
    assert p.bit_length() == bits
    assert gmpy2.is_prime(p)
    assert gmpy2.is_prime((p - 1) // 2)


@given(st.lists(st.integers(1, 30), min_size=2, max_size=8, unique=True), st.integers(-50, 50))
def test_lagrange_coefficients_are_exact_integers(points, constant):
    """They take values of a polynomial of lower degree to D times its value at 0."""
    delta = int(gmpy2.fac(30))

    def polynomial(x):
        return constant + sum((k + 3) * x**k for k in range(1, len(points)))

    assert sum(integer_lagrange(i, points, delta) * polynomial(i) for i in points) == delta * constant


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 2**20)), max_size=9))
def test_multi_power(terms):
    modulus = mpz(2**61 - 1)
    expected = mpz(1)
    for base, exponent in terms:
        expected = expected * gmpy2.powmod(base, exponent, modulus) % modulus
    assert multi_power([mpz(b) for b, _ in terms], [e for _, e in terms], modulus) == expected
