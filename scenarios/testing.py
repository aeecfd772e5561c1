"""Checks that need both sides of the wire: a whole federation, inline and over processes, under several protections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aggregator import Aggregator
from clients import Client, InlinePool, ProcessPool
from fedlearn.crypto import FixedPoint
from fedlearn.models.base import Model
from fedlearn.protocol import Pool, client_name
from fedlearn.secure import Masks, Paillier, Plain
from fedlearn.secure.base import Protection
from fedlearn.strategies import FedAvg
from fedlearn.strategies.base import Strategy
from fedlearn.testing.toys import dense_examples, dense_model
from fedlearn.wording import many

CLIENTS, ROUNDS = 4, 2
KEY_BITS = 512  # protects nothing: the size of the key is not what is tested


def check_federation(
    strategy: Strategy | None = None,
    protection: Protection | None = None,
    model: Model | None = None,
    clients: Sequence[Client] | None = None,
) -> None:
    """Raise `AssertionError` unless a federation gives one model, bit for bit, however it is run.

    Inline under `protection`, or where none is given, under no protection, masks and Paillier; and over two processes
    under the first of these. What is not given is small and dense. The model is left as it was.
    """
    model = model or dense_model()
    people = clients or [Client(client_name(i), dense_examples(3 + 2 * i, seed=i)) for i in range(CLIENTS)]
    codec = FixedPoint(bits=24, bound=8.0, addends=max(16, len(people)))
    paillier = Paillier(KEY_BITS, codec, insecure_test_key=True)
    protections: list[Protection] = [protection] if protection else [Plain(codec), Masks(codec), paillier]
    start = model.vector.copy()
    seen: dict[bytes, str] = {}
    try:
        runs: list[tuple[Protection, Pool]] = [(hidden, InlinePool(people)) for hidden in protections]
        for hidden, pool in [*runs, (protections[0], ProcessPool(people, workers=2))]:
            model.vector[:] = start
            history = Aggregator(model, strategy or FedAvg(batch_size=2), hidden, seed=3).fit(
                pool, ROUNDS, progress=False
            )
            how = f"{type(pool).__name__} under {hidden.name}"
            assert history.counted == ROUNDS, f"{how}: {[record.void for record in history.rounds]}"
            assert np.isfinite(model.vector).all(), f"{how}: the model holds NaN or infinity"
            seen.setdefault(model.vector.tobytes(), how)
    finally:
        model.vector[:] = start
    assert len(seen) == 1, f"these runs give {many(len(seen), 'different model')}: {', '.join(seen.values())}"
