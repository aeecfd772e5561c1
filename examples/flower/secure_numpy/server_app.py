"""The ServerApp: its strategy is wrapped in `SecureSums`, which is given what protection, and the metrics' bounds."""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg

from scenarios.flower import SecureSums
from secure_numpy import task

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    nodes = config["nodes"]
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=nodes, min_available_nodes=nodes)
    if config["clipping-norm"]:
        strategy = DifferentialPrivacyClientSideFixedClipping(strategy, 0.0, config["clipping-norm"], nodes)
    strategy = SecureSums(
        strategy, config["protection"], metrics={"train_loss": 16.0}, max_weight=512, openers=config["openers"]
    )
    result = strategy.start(
        grid,
        ArrayRecord({name: Array(value) for name, value in task.beginning().items()}),
        num_rounds=config["num-server-rounds"],
        timeout=config["timeout"],
        evaluate_fn=evaluate,
    )
    for sum in strategy.opened:
        up, opening = sum.bytes_up / sum.addends / 1000, sum.seconds["open"]
        bound = f"error at most {sum.error_bound:.1e}"
        print(f"round {sum.round}: {sum.addends} nodes, {up:.1f} kB up each, {bound}, opened in {opening:.2f} s")
    print(f"accuracy {result.evaluate_metrics_serverapp[config['num-server-rounds']]['accuracy']:.3f}")


def evaluate(round: int, arrays: ArrayRecord) -> MetricRecord:
    images, labels = task.examples(-1)
    accuracy = task.accuracy({name: array.numpy() for name, array in arrays.items()}, images, labels)
    return MetricRecord({"accuracy": accuracy})
