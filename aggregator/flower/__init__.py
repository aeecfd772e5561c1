"""Flower on the aggregator's side: a strategy that is given the sum of its nodes' replies, and nothing else of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy

if TYPE_CHECKING:
    from aggregator.flower.strategy import SecureSums
    from aggregator.flower.sums import Opened

__all__ = ["Opened", "SecureSums"]
__getattr__ = lazy(__name__, {"Opened": "sums", "SecureSums": "strategy"})
