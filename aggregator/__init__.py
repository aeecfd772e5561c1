"""The server side at work: rounds, openers' processes, history and the run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy

if TYPE_CHECKING:
    from aggregator.aggregator import Aggregator
    from aggregator.asking import Answer, ask
    from aggregator.faults import Faults
    from aggregator.history import History, RoundRecord, Tracker
    from aggregator.runfolder import RunFolder
    from aggregator.sampling import Poisson, Sampler, Uniform, Weighted
    from aggregator.surveying import Survey
    from aggregator.trackers import CsvTracker, ProgressTracker, TensorBoardTracker

__all__ = [
    "Aggregator",
    "Answer",
    "CsvTracker",
    "Faults",
    "History",
    "Poisson",
    "ProgressTracker",
    "RoundRecord",
    "RunFolder",
    "Sampler",
    "Survey",
    "TensorBoardTracker",
    "Tracker",
    "Uniform",
    "Weighted",
    "ask",
]
__getattr__ = lazy(
    __name__,
    {
        "Aggregator": "aggregator",
        "Answer": "asking",
        "Survey": "surveying",
        "ask": "asking",
        "Faults": "faults",
        "History": "history",
        "RoundRecord": "history",
        "RunFolder": "runfolder",
        "Tracker": "history",
        **dict.fromkeys(("CsvTracker", "ProgressTracker", "TensorBoardTracker"), "trackers"),
        **dict.fromkeys(("Poisson", "Sampler", "Uniform", "Weighted"), "sampling"),
    },
)
