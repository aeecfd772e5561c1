"""The server side at work: rounds, openers' processes, history and the run folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedlearn.lazy import lazy

if TYPE_CHECKING:
    from aggregator.aggregator import Aggregator
    from aggregator.faults import Faults
    from aggregator.history import History, RoundRecord, Tracker
    from aggregator.runfolder import RunFolder
    from aggregator.sampling import Poisson, Sampler, Uniform, Weighted
    from aggregator.trackers import CsvTracker, ProgressTracker, TensorBoardTracker

__all__ = [
    "Aggregator",
    "CsvTracker",
    "Faults",
    "History",
    "Poisson",
    "ProgressTracker",
    "RoundRecord",
    "RunFolder",
    "Sampler",
    "TensorBoardTracker",
    "Tracker",
    "Uniform",
    "Weighted",
]
__getattr__ = lazy(
    __name__,
    {
        "Aggregator": "aggregator",
        "Faults": "faults",
        "History": "history",
        "RoundRecord": "history",
        "RunFolder": "runfolder",
        "Tracker": "history",
        **dict.fromkeys(("CsvTracker", "ProgressTracker", "TensorBoardTracker"), "trackers"),
        **dict.fromkeys(("Poisson", "Sampler", "Uniform", "Weighted"), "sampling"),
    },
)
