"""Powers of one fixed base modulo n^2 with random exponents, by table: a multiplication per window of exponent bits.

Lim and Lee, "More flexible exponentiation with precomputation" (CRYPTO 1994): the bits that one look-up handles stand
`steps` apart, so that a table serves `steps` times, with a squaring in between. Numbers modulo n^2 are pairs
(low, high) that stand for low + n high: their products take less than those of numbers of full width.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import lru_cache

import gmpy2
import numpy as np
from gmpy2 import mpz

from fedlearn.crypto.integers import width_of

_MAX_WINDOW = 16  # bits: a digit is drawn as two bytes
_MAX_STEPS = 64  # that are tried for the shape of a table
_OBJECT_BYTES = 176  # of a pair of big integers, besides their digits
Pair = tuple[mpz, mpz]


@dataclass(frozen=True)
class TableShape:
    """rows of 2^window products, each of which serves `steps` times; no rows: no table.

    The exponents that it gives have rows * window * steps bits.
    """

    rows: int = 0
    window: int = 0
    steps: int = 0

    @property
    def entries(self) -> int:
        """Products in the table."""
        return self.rows << self.window

    @property
    def multiplications(self) -> int:
        """Of one power by a table: one for each look-up, and a squaring for each step."""
        return (self.rows + 1) * self.steps


NO_TABLE = TableShape()


def choose_shape(
    exponent_bits: int, modulus_bytes: int, expected: int, memory_limit: int, made: TableShape = NO_TABLE
) -> TableShape:
    """The shape that costs fewest multiplications, for a table within `memory_limit` bytes and `expected` powers.

    `NO_TABLE` where none pays: plain exponentiation takes about one multiplication per exponent bit. made: the shape of
    a table that is there already, which need not be built.
    """
    costs = {NO_TABLE: expected * exponent_bits}
    for shape in _shapes(exponent_bits, memory_limit // (modulus_bytes + _OBJECT_BYTES)):
        costs[shape] = expected * shape.multiplications + (shape.entries + exponent_bits if shape != made else 0)
    return min(costs, key=costs.__getitem__)


@lru_cache(maxsize=16)  # each encryption asks, and to try every shape takes a millisecond
def _shapes(exponent_bits: int, most_entries: int) -> tuple[TableShape, ...]:
    """The shapes within so many entries, without those that another one beats in multiplications and in entries."""
    every = [
        TableShape(-(-exponent_bits // (window * steps)), window, steps)
        for window in range(1, _MAX_WINDOW + 1)
        for steps in range(1, _MAX_STEPS + 1)
    ]
    best: list[TableShape] = []
    for shape in sorted(every, key=lambda shape: (shape.multiplications, shape.entries)):
        if shape.entries < (best[-1].entries if best else most_entries + 1):
            best.append(shape)
    return tuple(best)


class FixedBase:
    """Random powers of `base` modulo n^2, exponents uniform over at least `exponent_bits` secret bits.

    `NO_TABLE` works without a table. `table_bytes` reports the memory the table takes.
    """

    def __init__(self, base: mpz, n: mpz, exponent_bits: int, shape: TableShape):
        self.base, self.n, self.exponent_bits, self.shape = base, n, exponent_bits, shape
        self._rows = self._build()

    def _build(self) -> list[list[Pair]]:
        """In row j, at d, the product of base^(2^(steps * (window * j + i))) for all bits i of d."""
        rows, tooth, nsquare = [], self.base, self.n**2
        for _ in range(self.shape.rows):
            row = [(mpz(1), mpz(0))]
            for _ in range(self.shape.window):
                high, low = divmod(tooth, self.n)
                row += [product(entry, (low, high), self.n) for entry in row]
                tooth = gmpy2.powmod(tooth, 1 << self.shape.steps, nsquare)
            rows.append(row)
        return rows

    @property
    def table_bytes(self) -> int:
        """Memory of the table, as estimated from its entries."""
        digits = 2 * width_of(self.n.bit_length())
        return self.shape.entries * (digits + _OBJECT_BYTES)

    def random_powers(self, count: int) -> list[mpz]:
        """`count` independent powers, exponents from the operating system's generator."""
        if self.shape == NO_TABLE:
            exponents = [mpz(secrets.randbits(self.exponent_bits)) for _ in range(count)]
            return gmpy2.powmod_exp_list(self.base, exponents, self.n**2) if count else []
        return [self._power(digits) for digits in self._random_digits(count)]

    def _random_digits(self, count: int) -> list[list[list[int]]]:
        size = (count, self.shape.steps, self.shape.rows)
        raw = np.frombuffer(secrets.token_bytes(2 * count * size[1] * size[2]), dtype=np.uint16).reshape(size)
        digits: list[list[list[int]]] = (raw & np.uint16((1 << self.shape.window) - 1)).tolist()
        return digits

    def _power(self, digits: list[list[int]]) -> mpz:
        """The power whose exponent has these digits, steps by rows, the highest step first."""
        n, power = self.n, (mpz(1), mpz(0))
        for step in digits:
            power = product(power, power, n)
            for row, digit in zip(self._rows, step, strict=True):
                power = product(power, row[digit], n)
        low, high = power
        return low + n * high


def product(one: Pair, other: Pair, n: mpz) -> Pair:
    """(low, high) of the product modulo n^2 of two numbers that are given so."""
    (a, b), (c, d) = one, other
    carry, low = gmpy2.f_divmod(a * c, n)
    return low, (carry + a * d + b * c) % n
