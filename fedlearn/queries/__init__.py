"""Questions that a sum can answer besides a model, one a file; `QUERIES` is where they are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy
from fedlearn.registry import Registry

if TYPE_CHECKING:
    from fedlearn.queries.base import Counts, Query
    from fedlearn.queries.classes import ClassCounts
    from fedlearn.queries.confusion import Confusion
    from fedlearn.queries.evaluation import Evaluation
    from fedlearn.queries.frequent import FrequentWords
    from fedlearn.queries.histogram import Histogram
    from fedlearn.queries.mean import Mean
    from fedlearn.queries.quantiles import Quantiles
    from fedlearn.queries.words import WordCounts

QUERIES = Registry(
    "query",
    {
        "classes": ("fedlearn.queries.classes:ClassCounts", "how many examples of each class there are"),
        "confusion": (
            "fedlearn.queries.confusion:Confusion",
            "what a trained model takes for what; with --from RUN, or in Python Confusion.of(model)",
        ),
        "evaluation": (
            "fedlearn.queries.evaluation:Evaluation",
            "how good a trained model is, and to whom; with --from RUN, or in Python Evaluation.of(model)",
        ),
        "frequent": ("fedlearn.queries.frequent:FrequentWords", "which words most messages hold, by a public list"),
        "words": ("fedlearn.queries.words:WordCounts", "in how many messages of each class each word stands"),
        "histogram": ("fedlearn.queries.histogram:Histogram", "how the values of a column are spread, in equal bins"),
        "mean": ("fedlearn.queries.mean:Mean", "mean and variance of a column"),
        "quantiles": ("fedlearn.queries.quantiles:Quantiles", "quantiles of a column, narrowed down over rounds"),
    },
    "fedlearn.queries.base:Query",
)

__all__ = [
    "QUERIES",
    "ClassCounts",
    "Confusion",
    "Counts",
    "Evaluation",
    "FrequentWords",
    "Histogram",
    "Mean",
    "Quantiles",
    "Query",
    "WordCounts",
]
__getattr__ = lazy(
    __name__,
    {
        "ClassCounts": "classes",
        "Confusion": "confusion",
        "Counts": "base",
        "Evaluation": "evaluation",
        "FrequentWords": "frequent",
        "Histogram": "histogram",
        "Mean": "mean",
        "Quantiles": "quantiles",
        "Query": "base",
        "WordCounts": "words",
    },
)
