"""The app in examples/flower, run as it stands, and an app of PyTorch's under secure sums."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

from fedlearn.secure import Masks
from scenarios.flower import SecureSums, read_folder, read_run_config, run_direct, secure_mod

FOLDER = Path(__file__).parents[2] / "examples" / "flower"


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("flwr").setLevel(logging.ERROR)


@pytest.mark.parametrize(
    ("config", "nodes", "rounds"),
    [("num-server-rounds=1 nodes=4", 4, 1), ("protection='masks' clipping-norm=0.5", 10, 3)],
    ids=["paillier", "clipped at nodes, under masks"],
)
def test_the_example_runs_as_it_stands(config, nodes, rounds, capsys):
    folder = read_folder(FOLDER)
    values = read_run_config([config], folder.run_config)
    with folder.loaded() as (server, client):
        done = run_direct(server, client, nodes, run_config=values)
    for name in [name for name in sys.modules if name.partition(".")[0] == "secure_numpy"]:
        del sys.modules[name]
    assert done.failures == 0
    *said, accuracy = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in said] == [f"round {i + 1}: {nodes} nodes" for i in range(rounds)]
    assert float(accuracy.split()[1]) > 0.9


def test_a_model_of_pytorchs_with_batch_norm_under_secure_sums():
    torch = pytest.importorskip("torch")
    threads = set()

    def net():
        torch.manual_seed(0)
        layers = torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 2)
        return torch.nn.Sequential(*layers)

    def client(*mods):
        app = ClientApp()

        @app.train(mods=list(mods))
        def train(message, context):
            threads.add(torch.get_num_threads())
            model = net()
            model.load_state_dict(message.content["arrays"].to_torch_state_dict())
            node = context.node_config["partition-id"]
            images = torch.from_numpy(np.random.default_rng(node).standard_normal((20 + node, 6)).astype(np.float32))
            step = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                step.zero_grad()
                loss = torch.nn.functional.cross_entropy(model(images), (images[:, 0] > 0).long())
                loss.backward()
                step.step()
            metrics = MetricRecord({"num-examples": len(images), "loss": float(loss)})
            records = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
            return Message(records, reply_to=message)

        return app

    def trained(strategy, app):
        server, found = ServerApp(), []

        @server.main()
        def main(grid, context):
            found.append(strategy.start(grid, ArrayRecord(net().state_dict()), num_rounds=2).arrays)

        run_direct(server, app, 4)
        return {name: array.numpy() for name, array in found[0].items()}

    plain = trained(FedAvg(fraction_evaluate=0.0), client())
    assert threads == {1}
    secure = SecureSums(
        FedAvg(fraction_evaluate=0.0), Masks(min_cohort=3, corrupt=0.0), metrics={"loss": 16.0}, max_weight=64,
        bounds={"*.num_batches_tracked": 1000.0, "*.running_*": 20.0},
    )  # fmt: skip
    hidden = trained(secure, client(secure_mod))
    assert hidden["1.num_batches_tracked"].dtype == np.int64
    assert hidden["1.num_batches_tracked"] == 6
    for name, value in plain.items():
        np.testing.assert_allclose(hidden[name], value, atol=1e-4, err_msg=name)
    net().load_state_dict({name: torch.from_numpy(np.asarray(value)) for name, value in hidden.items()})
