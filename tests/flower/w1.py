"""A Flower app of NumPy alone: digits of 8 x 8 dots, an MLP of 2,410 weights, some rows for each node."""

from __future__ import annotations

from functools import cache

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

SHAPES = {"w1": (64, 32), "b1": (32,), "w2": (32, 10), "b2": (10,)}
ROWS, BATCH, RATE = 20, 10, 0.1


@cache
def data() -> tuple[np.ndarray, np.ndarray]:
    """Ten blurred prototypes and noise, float32 (20000, 64), and which it is."""
    draw = np.random.default_rng(7)
    prototypes, labels = draw.random((10, 64)), draw.integers(10, size=20_000)
    images = prototypes[labels] + 0.3 * draw.standard_normal((20_000, 64))
    return images.astype(np.float32), labels


def start() -> ArrayRecord:
    draw = np.random.default_rng(3)
    return ArrayRecord({n: Array((0.1 * draw.standard_normal(s)).astype(np.float32)) for n, s in SHAPES.items()})


def loss_and_step(w: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    hidden = np.maximum(x @ w["w1"] + w["b1"], 0)
    scores = hidden @ w["w2"] + w["b2"]
    chance = np.exp(scores - scores.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    loss = -np.log(chance[np.arange(len(y)), y]).mean()
    chance[np.arange(len(y)), y] -= 1
    chance /= len(y)
    back = (chance @ w["w2"].T) * (hidden > 0)
    for name, slope in {"w2": hidden.T @ chance, "b2": chance.sum(0), "w1": x.T @ back, "b1": back.sum(0)}.items():
        w[name] -= np.float32(RATE) * slope
    return float(loss)


client_app = ClientApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    node = int(context.node_config["partition-id"])
    rows = np.arange(node * ROWS, (node + 1) * ROWS) % 20_000
    images, labels = data()
    weights = {name: array.numpy().copy() for name, array in message.content["arrays"].items()}
    order = np.random.permutation(rows)  # noqa: NPY002 - as apps do
    for batch in np.split(order, ROWS // BATCH):
        loss = loss_and_step(weights, images[batch], labels[batch])
    arrays = ArrayRecord({name: Array(value) for name, value in weights.items()})
    metrics = MetricRecord({"num-examples": ROWS, "train_loss": loss})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def server_app(rounds: int = 20, cohort: float = 0.1) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        strategy = FedAvg(fraction_train=cohort, fraction_evaluate=0.0)
        result = strategy.start(grid, start(), num_rounds=rounds)
        context.state["arrays"] = result.arrays

    return app


def bits(records: RecordDict) -> bytes:
    return b"".join(array.numpy().tobytes() for array in records["arrays"].values())
