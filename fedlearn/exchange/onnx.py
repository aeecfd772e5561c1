"""A trained model as an ONNX graph, which other programs run without this one (extra onnx).

Each layer has its ONNX operators (`LAYERS`), each model the way of its inputs through its layers (`MODELS`). The file
says what it is: its metadata hold the model's description, with vocabulary and classes. Operators: https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from fedlearn import nn
from fedlearn.checked import takes_plain
from fedlearn.datasets.dense import Scale
from fedlearn.errors import BadInput
from fedlearn.exchange.graph import Graph
from fedlearn.modelfile import WITHIN, Described, description_of
from fedlearn.models import MLP, CharGRU, CharLSTM, CharRNN, ConvNet, SequenceClassifier, SpamClassifier

LAYERS: dict[type[nn.Module], Callable[[Graph, Any, str], str]] = {}
# Our gates stand in PyTorch's order: i, f, g, o and r, z, n. ONNX has i, o, f, g and z, r, n.
GATES: dict[type[nn.Module], tuple[str, tuple[int, ...]]] = {
    nn.RNN: ("RNN", (0,)), nn.GRU: ("GRU", (1, 0, 2)), nn.LSTM: ("LSTM", (0, 3, 1, 2)),
}  # fmt: skip


@takes_plain
def onnx_model(described: Described) -> bytes:
    """The bytes of an .onnx file with one output, `logits`.

    Inputs: of `spam` `indices` int64 (n,) and `offsets` int64 (B,), as PyTorch's EmbeddingBag has them; of `sequence`
    and the models of characters `ids` int64 (B, T); of models of numbers `rows` float32 (B, d), as in a file.
    Raises `BadInput` for a model of another class, and where ONNX is not installed.
    """
    onnx = _onnx()
    model = described.model.eval()
    draw = MODELS.get(type(model))
    if draw is None:
        raise BadInput(f"no ONNX graph is known for a {type(model).__name__}: choose torch or npz")
    graph = Graph()
    draw(graph, model, described.scale)
    return graph.to_bytes(onnx, {WITHIN: description_of(described).decode()})


def _onnx() -> ModuleType:
    try:
        import onnx
    except ImportError:
        raise BadInput("ONNX is not installed: pip install 'fedlearn[onnx]', or choose npz") from None
    found: ModuleType = onnx
    return found


# Layers: from the name of what goes in to the name of what comes out


def _through(graph: Graph, layer: nn.Module, x: str) -> str:
    """Raises `BadInput` for a layer, or an option of one, that has no operator here."""
    draw = LAYERS.get(type(layer))
    if draw is None:
        raise _unknown(layer)
    return draw(graph, layer, x)


def _unknown(layer: nn.Module) -> BadInput:
    return BadInput(f"no ONNX operator is known for {layer!r:.80}: choose torch or npz")


def _sequential(graph: Graph, layer: nn.Sequential, x: str) -> str:
    for part in layer:
        x = _through(graph, part, x)
    return x


def _linear(graph: Graph, layer: nn.Linear, x: str) -> str:
    """Of inputs with any number of axes in front."""
    y = graph.add("MatMul", x, graph.constant(layer.weight.numpy().T))
    return y if layer.bias is None else graph.add("Add", y, graph.constant(layer.bias.numpy()))


def _flatten(graph: Graph, layer: nn.Flatten, x: str) -> str:
    if (layer.start_dim, layer.end_dim) != (1, -1):
        raise _unknown(layer)
    return graph.add("Flatten", x, axis=1)


def _conv(graph: Graph, layer: nn.Conv2d, x: str) -> str:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise _unknown(layer)
    weights = [graph.constant(tensor.numpy()) for tensor in (layer.weight, layer.bias) if tensor is not None]
    padding = list(layer.padding)
    return graph.add(
        "Conv", x, *weights,
        strides=list(layer.stride), pads=padding * 2, dilations=list(layer.dilation), group=layer.groups,
    )  # fmt: skip


def _max_pool(graph: Graph, layer: nn.MaxPool2d, x: str) -> str:
    kernel = list(layer.kernel_size)
    return graph.add(
        "MaxPool", x, kernel_shape=kernel, strides=list(layer.stride or kernel), pads=[*layer.padding] * 2,
        dilations=list(layer.dilation), ceil_mode=int(layer.ceil_mode),
    )  # fmt: skip


def _recurrent(graph: Graph, layer: Any, x: str) -> str:
    """(T, B, inputs) -> the outputs of all steps (T, B, H)."""
    operator, order = GATES[type(layer)]
    if layer.bidirectional or layer.batch_first or layer.bias_ih_l0 is None:
        raise _unknown(layer)
    extra = {"linear_before_reset": 1} if operator == "GRU" else {}
    for number in range(layer.num_layers):
        weights = [_reordered(layer, f"{name}_l{number}", order) for name in ("weight_ih", "weight_hh")]
        biases = [_reordered(layer, f"{name}_l{number}", order) for name in ("bias_ih", "bias_hh")]
        values = [graph.constant(array[None]) for array in (*weights, np.concatenate(biases))]
        x = graph.add("Squeeze", graph.add(operator, x, *values, hidden_size=layer.hidden_size, **extra), graph.ints(1))
    return x


def _reordered(layer: Any, name: str, order: tuple[int, ...]) -> np.ndarray:
    gates = np.split(getattr(layer, name).numpy(), len(order))
    return np.concatenate([gates[gate] for gate in order])


LAYERS |= {
    nn.Sequential: _sequential,
    nn.Linear: _linear,
    nn.ReLU: lambda graph, _, x: graph.add("Relu", x),
    nn.Flatten: _flatten,
    nn.Conv2d: _conv,
    nn.MaxPool2d: _max_pool,
    nn.RNN: _recurrent,
    nn.GRU: _recurrent,
    nn.LSTM: _recurrent,
}


# Models


def _rows(graph: Graph, width: int, scale: Scale | None) -> str:
    """Rows of numbers as they stand in a file, scaled."""
    rows = graph.input("rows", np.float32, ["batch", width])
    if scale is None:
        return rows
    less = graph.add("Sub", rows, graph.constant(scale.mean))
    return graph.add("Div", less, graph.constant(scale.deviation))


def _mlp(graph: Graph, model: MLP, scale: Scale | None) -> None:
    layers = [part for part in model.body.modules() if isinstance(part, nn.Linear)]
    if not layers:
        raise _unknown(model.body)
    rows = _rows(graph, layers[0].weight.shape[1], scale)
    graph.output("logits", _through(graph, model.body, rows), ["batch", len(layers[-1].weight)])


def _conv_net(graph: Graph, model: ConvNet, scale: Scale | None) -> None:
    rows = _rows(graph, model.side**2, scale)
    images = graph.add("Reshape", rows, graph.ints(-1, 1, model.side, model.side))
    logits = _through(graph, model.head, _through(graph, model.body, images))
    graph.output("logits", logits, ["batch", len(model.head.weight)])


def _spam(graph: Graph, model: SpamClassifier, _: Scale | None) -> None:
    """Bags are summed by scattering their words' rows to the bag that each word is in."""
    indices = graph.input("indices", np.int64, ["words"])
    offsets = graph.input("offsets", np.int64, ["batch"])
    vectors = graph.add("Gather", graph.constant(model.words.weight.numpy()), indices, axis=0)  # (words, dim)
    words, batch = graph.add("Shape", indices), graph.add("Shape", offsets)
    zeros, one = np.zeros(1, np.int64), graph.ints(1)
    # Where a bag begins there is a 1: the running sum less 1 is the number of the bag. Empty bags begin together.
    begins = graph.add("ConstantOfShape", graph.add("Add", words, one), value=zeros)
    ones = graph.add("Expand", one, batch)
    begun = graph.add("CumSum", graph.add("ScatterElements", begins, offsets, ones, reduction="add"), graph.scalar(0))
    bag = graph.add("Sub", graph.add("Slice", begun, graph.ints(0), words, graph.ints(0)), one)
    size = graph.add("Concat", batch, graph.ints(model.dim), axis=0)
    empty = graph.add("ConstantOfShape", size, value=np.zeros(1, np.float32))
    where = graph.add("Expand", graph.add("Unsqueeze", bag, graph.ints(1)), graph.add("Shape", vectors))
    sums = graph.add("ScatterElements", empty, where, vectors, reduction="add", axis=0)
    if model.dim == 1:
        flat = graph.add("Squeeze", sums, graph.ints(1))
        graph.output("logits", graph.add("Add", flat, graph.constant(model.bias.numpy())), ["batch"])
        return
    nobody = graph.add("ConstantOfShape", batch, value=np.zeros(1, np.float32))
    each = graph.add("Expand", graph.constant(np.ones(1, np.float32)), words)
    counts = graph.add("ScatterElements", nobody, bag, each, reduction="add")
    least = graph.add("Max", counts, graph.constant(np.ones(1, np.float32)))
    means = graph.add("Div", sums, graph.add("Unsqueeze", least, graph.ints(1)))
    graph.output("logits", graph.add("Squeeze", _through(graph, model.head, means), graph.ints(1)), ["batch"])


def _steps(graph: Graph, model: Any) -> str:
    """ids (B, T) -> what a recurrent layer says after each step (T, B, H)."""
    ids = graph.input("ids", np.int64, ["batch", "steps"])
    turned = graph.add("Transpose", ids, perm=[1, 0])
    vectors = graph.add("Gather", graph.constant(model.embedding.weight.numpy()), turned, axis=0)
    return _through(graph, model.recurrent, vectors)


def _sequence(graph: Graph, model: SequenceClassifier, _: Scale | None) -> None:
    last = graph.add("Gather", _steps(graph, model), graph.scalar(-1), axis=0)
    graph.output("logits", _through(graph, model.head, last), ["batch", len(model.head.weight)])


def _characters(graph: Graph, model: Any, _: Scale | None) -> None:
    logits = _through(graph, model.head, _steps(graph, model))
    graph.output("logits", logits, ["steps", "batch", len(model.head.weight)])


MODELS: dict[type[nn.Module], Callable[[Graph, Any, Scale | None], None]] = {
    SpamClassifier: _spam, MLP: _mlp, ConvNet: _conv_net, SequenceClassifier: _sequence,
    **dict.fromkeys((CharRNN, CharGRU, CharLSTM), _characters),
}  # fmt: skip
