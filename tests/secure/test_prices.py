"""What hiding costs, in powers: each of `exponent` bits modulo a number of `bits` bits, counted and not measured."""

from __future__ import annotations

import os

import pytest

import fedlearn.secure.encrypted as encrypted
import fedlearn.secure.paillier as paillier
import fedlearn.secure.price as price
import fedlearn.secure.threshold as threshold
from fedlearn.crypto import FixedPoint
from fedlearn.secure import Masks, Paillier, Plain, Threshold
from fedlearn.secure.price import Price, cores, power_seconds

CODEC = FixedPoint(24, 4.0, 100)  # lanes of 31 bits


def power(bits: int, exponent: int) -> float:
    return 1000.0 * bits + exponent


@pytest.fixture(autouse=True)
def _counted(monkeypatch):
    """A power's price is a number that says which one it was; the machine has four cores."""
    for room in (encrypted, paillier, threshold):
        monkeypatch.setattr(room, "power_seconds", power)
    for room in (paillier, threshold):
        monkeypatch.setattr(room, "cores", lambda: 4)


@pytest.mark.parametrize("bits", [2048, 3072])
@pytest.mark.parametrize("values", [0, 1, 66, 67, 10_000])
def test_a_client_looks_up_and_openers_take_powers(bits, values):
    lanes = (bits - 2) // 31
    ciphertexts = -(-values // lanes)
    looked_up = power(2 * bits, bits // 2) / 8
    half = 2 * power(bits, bits // 2) / 4
    assert Paillier(bits, CODEC).price(values) == Price(
        pytest.approx(ciphertexts * looked_up), pytest.approx(ciphertexts * half)
    )
    for t, n in ((4, 5), (2, 3)):
        shares = n * power(bits, bits) / min(4, n) + power(2 * bits, bits) / 4
        assert Threshold(t, n, key_bits=bits, codec=CODEC).price(values) == Price(
            pytest.approx(ciphertexts * looked_up), pytest.approx(ciphertexts * shares)
        )


def test_what_costs_next_to_nothing_has_no_price():
    assert Plain(CODEC).price(10**6) == Masks(CODEC).price(10**6) == Price(0.0, 0.0)


def test_cores_are_those_that_this_process_may_use():
    assert cores() == len(os.sched_getaffinity(0))


def test_a_power_that_is_measured_is_of_full_length_and_the_quicker_of_two(monkeypatch):
    raised, now, real = [], [0.0], price.powers

    def powers(bases, exponent, modulus):
        raised.append((*bases, exponent, modulus))
        now.append(now.pop() + len(raised) % 2 + 1)  # 2 s and then 1 s
        return real(bases, exponent, modulus)

    monkeypatch.setattr(price, "powers", powers)
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    for exponent in range(40, 60):
        assert power_seconds.__wrapped__(128, exponent) == 1.0
        (base, taken, modulus), again = raised[-2:]
        assert (base, taken, modulus) == again
        assert base < modulus
        assert (modulus.bit_length(), modulus % 2, taken.bit_length()) == (128, 1, exponent)
    assert len(raised) == 2 * 20
