"""Differential privacy: exact integer noise, the mechanism with its two halves, accountants, ledger, audit.

mechanism = GaussianMechanism(noise=1.0, steps=2**16, expected=83, min_cohort=57, honest=0.5)
total = sum(mechanism.encode(update, clip=0.3) for update in updates)      # integers: clipped, rounded, noised
mean = mechanism.decode(total, clip=0.3)
Pld().epsilon([Release(rate=0.1, noise=mechanism.charged, count=60)], delta=1e-5)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy
from fedlearn.registry import Registry

if TYPE_CHECKING:
    from fedlearn.privacy.accounting import Accountant, AnalyticGaussian, Release
    from fedlearn.privacy.asked import Privacy
    from fedlearn.privacy.discrete import DiscreteGaussian
    from fedlearn.privacy.ledger import Ledger
    from fedlearn.privacy.mechanism import GaussianMechanism
    from fedlearn.privacy.pld import Pld
    from fedlearn.privacy.rdp import Rdp
    from fedlearn.privacy.terms import Terms

ACCOUNTANTS = Registry(
    "accountant",
    {
        "rdp": ("fedlearn.privacy.rdp:Rdp", "Renyi divergences; bounds cohorts of a fixed size, too"),
        "pld": ("fedlearn.privacy.pld:Pld", "privacy loss distributions: the tightest epsilon"),
    },
    "fedlearn.privacy.accounting:Accountant",
)

__all__ = [
    "ACCOUNTANTS", "Accountant", "AnalyticGaussian", "DiscreteGaussian", "GaussianMechanism", "Ledger", "Pld",
    "Privacy", "Rdp", "Release", "Terms",
]  # fmt: skip

__getattr__ = lazy(
    __name__,
    {
        "Accountant": "accounting",
        "AnalyticGaussian": "accounting",
        "DiscreteGaussian": "discrete",
        "GaussianMechanism": "mechanism",
        "Ledger": "ledger",
        "Pld": "pld",
        "Privacy": "asked",
        "Rdp": "rdp",
        "Release": "accounting",
        "Terms": "terms",
    },
)
