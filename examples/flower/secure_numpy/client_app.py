"""The ClientApp: `secure_mod` is the first of its mods, and the only line that is not any Flower app's."""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import fixedclipping_mod

from scenarios.flower import secure_mod
from secure_numpy import task

app = ClientApp()


def clipped(message: Message, context: Context, call_next) -> Message:
    """Flower's own clipping, where the run asks for it; after `secure_mod`, so that what is encrypted is clipped."""
    if context.run_config["clipping-norm"]:
        return fixedclipping_mod(message, context, call_next)
    return call_next(message, context)


@app.train(mods=[secure_mod, clipped])
def train(message: Message, context: Context) -> Message:
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    images, labels = task.examples(int(context.node_config["partition-id"]))
    loss = task.train(arrays, images, labels, context.run_config["learning-rate"])
    records = RecordDict(
        {
            "arrays": ArrayRecord({name: Array(value) for name, value in arrays.items()}),
            "metrics": MetricRecord({"num-examples": len(labels), "train_loss": loss}),
        }
    )
    return Message(records, reply_to=message)
