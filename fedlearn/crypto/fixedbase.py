"""Powers of one fixed base with random exponents, by table: a multiplication per window of exponent bits.

Brickell, Gordon, McCurley, Wilson, "Fast exponentiation with precomputation" (EUROCRYPT 1992), with all digits
stored.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import gmpy2
import numpy as np
from gmpy2 import mpz

_MAX_WINDOW = 16
_OBJECT_BYTES = 48  # what one big integer takes besides its digits


def choose_window(exponent_bits: int, modulus_bytes: int, expected: int, memory_limit: int, made: int = 0) -> int:
    """The window that costs fewest multiplications, for a table within `memory_limit` bytes and `expected` powers.

    0 says that no table pays: plain exponentiation takes about one multiplication per exponent bit. made: the window of
    a table that is there already, which need not be built.
    """
    costs = {0: expected * exponent_bits}
    for window in range(1, _MAX_WINDOW + 1):
        rows = -(-exponent_bits // window)
        if rows * (modulus_bytes + _OBJECT_BYTES) << window <= memory_limit:
            costs[window] = rows * expected + (rows << window if window != made else 0)
    return min(costs, key=costs.__getitem__)


class FixedBase:
    """Random powers of `base` modulo `modulus`, exponents uniform over at least `exponent_bits` secret bits.

    `window` 0 works without a table. `table_bytes` reports the memory the table takes.
    """

    def __init__(self, base: mpz, modulus: mpz, exponent_bits: int, window: int):
        self.base, self.modulus, self.exponent_bits, self.window = base, modulus, exponent_bits, window
        self._rows = self._build(-(-exponent_bits // window)) if window else []

    def _build(self, count: int) -> list[list[mpz]]:
        """Row j holds base^(d * 2^(window * j)) for every digit d."""
        rows, base, modulus = [], self.base, self.modulus
        for _ in range(count):
            row = [mpz(1)]
            for _ in range(1 << self.window):
                row.append(row[-1] * base % modulus)
            base = row.pop()
            rows.append(row)
        return rows

    @property
    def table_bytes(self) -> int:
        """Memory of the table, as estimated from its entries."""
        entry = (self.modulus.bit_length() + 7) // 8 + _OBJECT_BYTES
        return len(self._rows) * entry << self.window if self._rows else 0

    def random_powers(self, count: int) -> list[mpz]:
        """`count` independent powers, exponents from the operating system's generator."""
        if not self.window:
            exponents = [mpz(secrets.randbits(self.exponent_bits)) for _ in range(count)]
            return gmpy2.powmod_exp_list(self.base, exponents, self.modulus) if count else []
        first, *rest = [row.__getitem__ for row in self._rows]
        return [self._product(first(digits[0]), rest, digits[1:]) for digits in self._random_digits(count)]

    def _random_digits(self, count: int) -> list[list[int]]:
        shape = (count, len(self._rows))
        raw = np.frombuffer(secrets.token_bytes(2 * count * shape[1]), dtype=np.uint16).reshape(shape)
        digits: list[list[int]] = (raw & np.uint16((1 << self.window) - 1)).tolist()
        return digits

    def _product(self, power: mpz, entries: list[Callable[..., mpz]], digits: list[int]) -> mpz:
        modulus = self.modulus
        for entry, digit in zip(entries, digits, strict=True):
            power = power * entry(digit) % modulus
        return power
