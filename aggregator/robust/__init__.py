"""Robust rules in the place of the mean, one family a file; `RULES` is where they are named, `as_rule` reads them.

`nnm+trimmed:f=3` is the trimmed mean of vectors that were mixed with their neighbours first; what is said of f after
the last name holds for all that stand before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy
from fedlearn.registry import Registry

if TYPE_CHECKING:
    from aggregator.robust.base import Before, Beside, Combined, Rule
    from aggregator.robust.chain import as_rule

RULES = Registry(
    "robust rule",
    {
        "median": ("aggregator.robust.coordinates:Median", "median of each coordinate (Yin et al. 2018)"),
        "trimmed": ("aggregator.robust.coordinates:Trimmed", "mean without each coordinate's f lowest and f highest"),
        "meamed": ("aggregator.robust.coordinates:Meamed", "mean of each coordinate's n - f values near its median"),
        "krum": ("aggregator.robust.krum:Krum", "the vector with the nearest neighbours (Blanchard et al. 2017)"),
        "multikrum": ("aggregator.robust.krum:MultiKrum", "mean of the n - f vectors that Krum likes best"),
        "bulyan": ("aggregator.robust.krum:Bulyan", "Krum chooses, then as meamed (El Mhamdi et al. 2018)"),
        "geomed": ("aggregator.robust.geometric:Geomed", "geometric median, RFA (Pillutla et al. 2022)"),
        "centred": (
            "aggregator.robust.clipping:Centred",
            "clipped round the last result (Karimireddy et al. 2021)",
        ),
        "normclip": ("aggregator.robust.clipping:NormClip", "mean of vectors of a bounded norm (Sun et al. 2019)"),
        "fltrust": ("aggregator.robust.fltrust:FLTrust", "by cosine with an update of one's own (Cao et al. 2021)"),
        "nnm": ("aggregator.robust.before:NNM", "before a rule: means with the nearest (Allouah et al. 2023)"),
        "bucketing": ("aggregator.robust.before:Bucketing", "before a rule: means of a few (Karimireddy et al. 2022)"),
        "arc": ("aggregator.robust.before:ARC", "before a rule: the longest are clipped (Allouah et al. 2025)"),
    },
    "aggregator.robust.base:Rule",
    "aggregator.robust.base:Before",
)

__all__ = ["RULES", "Before", "Beside", "Combined", "Rule", "as_rule"]
__getattr__ = lazy(
    __name__, {"Before": "base", "Beside": "base", "Combined": "base", "Rule": "base", "as_rule": "chain"}
)
