"""How far the mean of a round is from what it would be without rounding, where all clients live in one process.

No party can know it: the aggregator sees integers, each client its own update only. Whoever simulates all clients can:
so it is written down by the simulation, beside the run, and no party reads it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from clients.encoded import Encoded
from fedlearn.disk import append
from fedlearn.secure.layout import Layout
from fedlearn.strategies.base import LocalUpdate

NAME = "rounding.jsonl"


class Rounding:
    """Adds up what rounding, and clipping at the codec's bound, changed in the updates of each round.

    file: a row a round goes there, {"round", "error"}: the largest |error| of a coordinate of any output's mean over
    the clients that were trained in it. Of a round that is tried again the last attempt counts.
    """

    def __init__(self, file: Path):
        self._file = file
        self._round = 0
        self._clients: set[int] = set()
        self._weight = 0.0
        self._errors = np.zeros(0)

    def note(self, round: int, whole: Layout, layout: Layout, update: LocalUpdate, encoded: Encoded) -> None:
        """Take in the updates of some clients, and the lanes that were made of them.

        whole: the plan's layout. layout: the one these lanes have, which may be of fewer rows. A layout with noise is
        left out: what rounding changes there is drawn at random, and lost in the noise.
        """
        if type(layout) is not Layout:
            return
        if round != self._round:
            self.flush()
        if round != self._round or self._clients & set(encoded.clients):
            self._round, self._clients, self._weight, self._errors = round, set(), 0.0, np.zeros(len(whole))
        weight = min(update.examples, layout.max_weight)
        errors = np.zeros((len(encoded.clients), len(layout)))
        at = 0
        for segment in layout.vectors:
            part = slice(at, at := at + segment.length)
            exact = np.asarray(update.vectors[segment.name], np.float64) * (weight / layout.max_weight)
            errors[:, part] = encoded.lanes[:, part] * 2.0**-segment.codec.fraction_bits - exact
        Encoded(encoded.clients, errors, encoded.support).add_to(self._errors)
        self._clients |= set(encoded.clients)
        self._weight += len(encoded.clients) * weight / layout.max_weight

    def flush(self) -> None:
        """Write down the round at hand, if there is one."""
        if self._clients:
            row = {"round": self._round, "error": float(np.abs(self._errors).max(initial=0) / self._weight)}
            append(self._file, json.dumps(row).encode() + b"\n", 0o600, sync=False)
        self._clients = set()
