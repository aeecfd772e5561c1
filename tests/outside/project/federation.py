"""All six together in Python, over the protections and pools: a script without a guard. Prints one line a run."""

import hashlib

import numpy as np
from blobs import BLOBS
from fed_exp import FedExP
from lazy import Lazy
from quantity import Quantity
from residual import Residual

from aggregator import Aggregator
from clients import Client, InlinePool, ProcessPool
from fedlearn.crypto import FixedPoint
from fedlearn.secure import Masks, Paillier, Plain

samples = BLOBS.load()
parts = Quantity(alpha=1.0).split(samples.labels, None, 5, np.random.default_rng(0))
people = [Client(f"client-{i}", samples.take(part).examples()) for i, part in enumerate(parts)]
people[2].behaviour = Lazy()
codec = FixedPoint(24, 16.0, 16)
for protection in (Plain(codec), Masks(codec), Paillier(2048, codec, insecure_test_key=True)):
    for pool in (InlinePool(people), ProcessPool(people, workers=2)):
        model = Residual(6, 3, rng=np.random.default_rng(1))
        history = Aggregator(model, FedExP(batch_size=8, eps=0.01), protection, seed=2).fit(pool, 2)
        digest = hashlib.sha256(model.vector.tobytes()).hexdigest()
        print(protection.name, type(pool).__name__, history.counted, digest)
