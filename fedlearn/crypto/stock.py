"""Randomisers made ahead of need, so that encrypting costs one multiplication a ciphertext."""

from __future__ import annotations

import threading
from typing import Any

from gmpy2 import mpz

from fedlearn.crypto.keys import Randomiser
from fedlearn.forks import forget_in_children


class Stock:
    """A `Randomiser` that hands out factors which `fill` took from `source` beforehand, each of them once.

    Two plaintexts under one factor would show their difference. Factors are therefore removed as they are handed out,
    under a lock; a forked child finds its stock empty, and a stock is never pickled. When the stock runs out, the
    rest comes from `source` at its own speed.
    """

    def __init__(self, source: Randomiser):
        self.public = source.public
        self._source = source
        self.forget()
        forget_in_children(self)

    def fill(self, count: int) -> None:
        """Make `count` more factors; may run in a thread of its own."""
        made = self._source.factors(count)
        with self._lock:
            self._ready += made

    def __len__(self) -> int:
        """Factors ready to be handed out."""
        return len(self._ready)

    def factors(self, count: int) -> list[mpz]:
        """`count` fresh factors, from the stock while it lasts."""
        with self._lock:
            keep = max(0, len(self._ready) - count)
            taken = self._ready[keep:]
            del self._ready[keep:]
        return taken + self._source.factors(count - len(taken))

    def forget(self) -> None:
        """Drop all factors, and a lock that a thread of another process may hold."""
        self._lock = threading.Lock()
        self._ready: list[mpz] = []

    def __reduce__(self) -> Any:
        raise TypeError("a stock of randomisers is not pickled: a copy would use its factors a second time")
