"""Under Flower's own simulation, on Ray, where any actor may answer for any node: the same sums as in this process."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

from fedlearn.secure import Masks
from tests.flower.test_secure_sums import CODEC, NODES, beginning, client, paillier, run, secure

ALL = {"fraction_evaluate": 0.0, "min_train_nodes": NODES, "min_available_nodes": NODES}  # which Ray has by and by
pytestmark = pytest.mark.ray
pytest.importorskip("ray")


@pytest.mark.parametrize(
    "protection", [paillier(), Masks(codec=CODEC, min_cohort=3, corrupt=0.0)], ids=["paillier", "masks"]
)
def test_the_same_sums_under_run_simulation(protection):
    from flwr.simulation import run_simulation

    logging.getLogger("flwr").setLevel(logging.ERROR)
    server, found = ServerApp(), []

    @server.main()
    def main(grid, context):
        start = ArrayRecord({name: Array(value) for name, value in beginning().items()})
        found.append(secure(FedAvg(**ALL), protection).start(grid, start, num_rounds=2).arrays)

    run_simulation(server, client(), NODES)
    for name, array in run(secure(), client(), rounds=2).arrays.items():
        np.testing.assert_array_equal(found[0][name].numpy(), array.numpy())
