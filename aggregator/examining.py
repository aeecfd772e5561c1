"""Evaluation by clients: each says how the model does on its own examples. Under no protection only: that is one
client's answer, which any other protection keeps from the aggregator.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

import msgpack
import numpy as np

from aggregator.history import RoundRecord
from aggregator.notices import replies
from aggregator.parties import Parties
from aggregator.session import Session
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.protocol import ClientId, Marks, Step, TrainRequest, Transcript, party_name
from fedlearn.secure.base import Protection
from fedlearn.wording import many

log = logging.getLogger(__name__)
QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
MOST_BYTES = 4096  # of one client's answer
ByClient = dict[ClientId, dict[str, float]]


def check_examining(protection: Protection, noise: bool) -> None:
    """Raise `BadInput` where clients may not be asked one by one."""
    if not protection.fold_in_worker:
        raise BadInput(
            f"evaluate_clients=True with protection {protection.name}: how the model does on one client's examples is "
            "what a protection keeps from the aggregator; give Survey(clients, classes), or --evaluate clients, which "
            "opens sums alone"
        )
    if noise:
        raise BadInput(
            "evaluate_clients=True with noise: exact answers of clients would spend privacy that nobody counts; give "
            "Survey(clients, classes, clip=20), or --evaluate clients:clip=20, whose sum has noise"
        )


class OneByOne:
    """Asks each client of a round that was not lost."""

    def __init__(self, session: Session):
        self._session = session

    def start(self, transcript: Transcript) -> None:
        """Nothing is to be done: the run starts its session."""

    def __call__(self, record: RoundRecord, cohort: Sequence[ClientId], weights: np.ndarray) -> None:
        """Enter in a round's record what they say of the new model with these weights, float32 (P,)."""
        clients = [client for client in cohort if client not in record.lost]
        record.by_client = examine(self._session.parties, record, clients, weights)
        record.metrics |= spread(record.by_client)

    def close(self) -> None:
        """Nothing is to be done: the run closes its session."""


def examine(parties: Parties, record: RoundRecord, clients: Sequence[ClientId], weights: np.ndarray) -> ByClient:
    """Examine the model with these weights (P,), by client; the traffic is entered in the record."""
    step = Step(record.round, record.attempts - 1, Marks.PHASE)
    found: ByClient = {}
    with record.counting(parties.transcript):
        for client, said in replies(parties, step, TrainRequest(weights), clients, Marks):
            try:
                found[client] = _read(said.payload)
            except BadInput as error:
                log.warning("%s did not say how the model does: %s", party_name(client), error)
    return dict(sorted(found.items()))


def spread(found: Mapping[ClientId, Mapping[str, float]]) -> dict[str, float]:
    """Of each metric what a tenth, half and nine tenths of the clients stay below: `client_accuracy_p10`..."""
    names = dict.fromkeys(name for marks in found.values() for name in marks)
    values = {name: [marks[name] for marks in found.values() if name in marks] for name in names}
    return {
        f"client_{name}_{quantile}": float(np.quantile(values[name], q))
        for name in names
        for quantile, q in QUANTILES.items()
    }


def _read(payload: bytes) -> dict[str, float]:
    if len(payload) > MOST_BYTES:
        raise ProtocolError(f"its answer has {many(len(payload), 'byte')}, {MOST_BYTES:,} are allowed")
    try:
        found = msgpack.unpackb(payload)
        right = isinstance(found, dict) and all(isinstance(n, str) and n.isidentifier() for n in found)
        if not right or not all(isinstance(v, float) and math.isfinite(v) for v in found.values()):
            raise ValueError
    except (ValueError, msgpack.exceptions.UnpackException):
        raise ProtocolError("its answer is no table of numbers by name") from None
    return dict(found)
