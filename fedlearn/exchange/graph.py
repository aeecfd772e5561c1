"""An ONNX graph as it grows: each operator takes names of values and gives the name of its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

OPSET = 18  # of 2022: the first in which ScatterElements adds and takes the largest
IR_VERSION = 8  # the file format of that time, for older programs


class Graph:
    """Inputs, constants, operators and outputs, in order."""

    def __init__(self) -> None:
        self._nodes: list[tuple[str, tuple[str, ...], str, dict[str, Any]]] = []
        self._constants: dict[str, np.ndarray] = {}
        self._inputs: list[tuple[str, type[np.generic], Sequence[str | int]]] = []
        self._outputs: list[tuple[str, Sequence[str | int]]] = []

    def input(self, name: str, dtype: type[np.generic], shape: Sequence[str | int]) -> str:
        """An input of the graph; a word in `shape` is a size that may vary."""
        self._inputs.append((name, dtype, shape))
        return name

    def constant(self, array: np.ndarray) -> str:
        name = f"constant{len(self._constants)}"
        self._constants[name] = np.ascontiguousarray(array)
        return name

    def ints(self, *numbers: int) -> str:
        """A constant int64 (n,)."""
        return self.constant(np.array(numbers, np.int64))

    def scalar(self, number: int) -> str:
        """A constant int64 ()."""
        name = f"constant{len(self._constants)}"
        self._constants[name] = np.array(number, np.int64)
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Apply an operator; an array among the attributes is a tensor there."""
        name = f"{operator.lower()}{len(self._nodes)}"
        self._nodes.append((operator, inputs, name, attributes))
        return name

    def output(self, name: str, value: str, shape: Sequence[str | int]) -> None:
        """Give a value out under this name, float32."""
        self._nodes.append(("Identity", (value,), name, {}))
        self._outputs.append((name, shape))

    def to_bytes(self, onnx: ModuleType, metadata: Mapping[str, str]) -> bytes:
        """The file, checked by the ONNX package that is given."""
        make, tensor = onnx.helper, onnx.numpy_helper.from_array

        def attributes(given: Mapping[str, Any]) -> dict[str, Any]:
            return {name: tensor(v) if isinstance(v, np.ndarray) else v for name, v in given.items()}

        def typed(dtype: type[np.generic]) -> int:
            return int(make.np_dtype_to_tensor_dtype(np.dtype(dtype)))

        graph = make.make_graph(
            [make.make_node(op, inputs, [name], **attributes(given)) for op, inputs, name, given in self._nodes],
            "fedlearn",
            [make.make_tensor_value_info(name, typed(dtype), shape) for name, dtype, shape in self._inputs],
            [make.make_tensor_value_info(name, typed(np.float32), shape) for name, shape in self._outputs],
            [tensor(array, name) for name, array in self._constants.items()],
        )
        model = make.make_model(
            graph, producer_name="fedlearn", ir_version=IR_VERSION, opset_imports=[make.make_opsetid("", OPSET)]
        )
        make.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString()
        return content
