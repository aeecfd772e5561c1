"""The small workload on other libraries: `python -m scenarios.bench.simulation_others NAME` prints its seconds.

Twenty rounds, from the first one's start; start-up and compilation before it are not counted. Each is written as
its own documentation has it, with NumPy clients where there is a choice, and evaluates nothing.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fedlearn.seeding import stream
from scenarios.bench.floors import step as sgd_step
from scenarios.bench.workload import BATCH, COHORT, EXAMPLES, LR, ROUNDS, Workload, workload


def fedjax(data: Workload) -> float:
    import jax

    for name in ("tree_map", "tree_leaves", "tree_flatten", "tree_unflatten", "tree_structure"):
        if not hasattr(jax, name):  # moved since the last release of FedJAX
            setattr(jax, name, getattr(jax.tree_util, name))
    import fedjax as library
    import jax.numpy as jnp

    def network(params: Any, x: Any) -> Any:
        return jax.nn.relu(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]

    def loss(params: Any, batch: Any, rng: Any) -> Any:
        scores = jax.nn.log_softmax(network(params, batch["x"]))
        return -jnp.mean(jnp.take_along_axis(scores, batch["y"][:, None], axis=1))

    examples = {b"%06d" % i: _examples(data, i) for i in range(len(data))}
    federation = library.InMemoryFederatedData(examples)
    algorithm = library.algorithms.fed_avg.federated_averaging(
        jax.grad(loss),
        library.optimizers.sgd(LR),
        library.optimizers.sgd(1.0),
        library.ShuffleRepeatBatchHParams(batch_size=BATCH, num_epochs=1),
    )
    sampler = library.client_samplers.UniformGetClientSampler(federation, COHORT, seed=0)
    state = algorithm.init({name: jnp.asarray(array) for name, array in _weights().items()})
    state, _ = algorithm.apply(state, sampler.sample())  # compiles
    began = time.perf_counter()
    for _ in range(ROUNDS):
        state, _ = algorithm.apply(state, sampler.sample())
    jax.block_until_ready(state.params)
    return time.perf_counter() - began


def pfl(data: Workload) -> float:
    """In one process, on PyTorch; one round goes before, in which its operations are set up."""
    import torch
    from pfl.aggregate.simulate import SimulatedBackend
    from pfl.algorithm.base import NNAlgorithmParams
    from pfl.algorithm.federated_averaging import FederatedAveraging
    from pfl.data.dataset import Dataset
    from pfl.data.federated_dataset import FederatedDataset
    from pfl.data.sampling import get_user_sampler
    from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
    from pfl.metrics import Weighted
    from pfl.model.pytorch import PyTorchModel

    torch.set_num_threads(1)

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))

        def loss(self, x: Any, y: Any, eval: bool = False) -> Any:
            return torch.nn.functional.cross_entropy(self.body(x), y)

        def metrics(self, x: Any, y: Any, eval: bool = False) -> dict[str, Any]:
            return {"loss": Weighted(float(self.loss(x, y)) * len(y), len(y))}

    def user(number: int) -> Any:
        examples = _examples(data, number)
        return Dataset([torch.from_numpy(examples["x"]), torch.from_numpy(examples["y"])])

    def train(rounds: int) -> float:
        sampler = get_user_sampler("random", list(range(len(data))))
        backend = SimulatedBackend(FederatedDataset(user, sampler), FederatedDataset(user, sampler), [])
        network = Network()
        model = PyTorchModel(
            network, local_optimizer_create=torch.optim.SGD,
            central_optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        )  # fmt: skip
        began = time.perf_counter()
        FederatedAveraging().run(
            NNAlgorithmParams(
                central_num_iterations=rounds, evaluation_frequency=rounds + 1, train_cohort_size=COHORT,
                val_cohort_size=0,
            ),
            backend, model,
            NNTrainHyperParams(local_num_epochs=1, local_learning_rate=LR, local_batch_size=BATCH),
            NNEvalHyperParams(local_batch_size=None), callbacks=[], send_metrics_to_platform=False,
        )  # fmt: skip
        return time.perf_counter() - began

    train(1)
    return train(ROUNDS)


def flwr(data: Workload) -> float:
    """Two actors with a core each, on Ray; the strategy notes when its rounds begin and end."""
    from flwr.client import ClientApp, NumPyClient
    from flwr.common import ndarrays_to_parameters
    from flwr.server import ServerApp, ServerAppComponents, ServerConfig
    from flwr.server.strategy import FedAvg
    from flwr.simulation import run_simulation

    logging.getLogger("flwr").setLevel(logging.ERROR)
    times: list[float] = []

    class Reader(NumPyClient):
        def __init__(self, number: int):
            self.examples = _examples(data, number)

        def fit(
            self, parameters: list[np.ndarray], config: dict[str, Any]
        ) -> tuple[list[np.ndarray], int, dict[str, Any]]:
            order = np.random.default_rng().permutation(EXAMPLES)
            for start in range(0, EXAMPLES, BATCH):
                batch = order[start : start + BATCH]
                sgd_step(parameters, self.examples["x"][batch], self.examples["y"][batch])
            return parameters, EXAMPLES, {}

    class Timed(FedAvg):
        def configure_fit(self, *arguments: Any, **more: Any) -> Any:
            times.append(time.perf_counter())
            return super().configure_fit(*arguments, **more)

        def aggregate_fit(self, *arguments: Any, **more: Any) -> Any:
            result = super().aggregate_fit(*arguments, **more)
            times.append(time.perf_counter())
            return result

    def serve(context: Any) -> Any:
        start = ndarrays_to_parameters([weight.T if weight.ndim == 2 else weight for weight in _weights().values()])
        strategy = Timed(
            fraction_fit=COHORT / len(data), fraction_evaluate=0.0, min_fit_clients=COHORT,
            min_available_clients=len(data), initial_parameters=start,
        )  # fmt: skip
        return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=ROUNDS))

    run_simulation(
        ServerApp(server_fn=serve),
        ClientApp(client_fn=lambda context: Reader(int(context.node_config["partition-id"])).to_client()),
        num_supernodes=len(data),
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )
    return times[-1] - times[0]


def _examples(data: Workload, number: int) -> dict[str, np.ndarray]:
    rows = data.rows[number]
    return {"x": data.images.features[rows], "y": data.images.targets[rows]}


def _weights() -> dict[str, np.ndarray]:
    rng = stream(0, "model")
    return {
        "w1": rng.uniform(-1 / 8, 1 / 8, (64, 32)).astype(np.float32), "b1": np.zeros(32, np.float32),
        "w2": rng.uniform(-0.18, 0.18, (32, 10)).astype(np.float32), "b2": np.zeros(10, np.float32),
    }  # fmt: skip


OTHERS: dict[str, Callable[[Workload], float]] = {"fedjax": fedjax, "flwr": flwr, "pfl": pfl}


if __name__ == "__main__":
    print(OTHERS[sys.argv[1]](workload(1000)))
