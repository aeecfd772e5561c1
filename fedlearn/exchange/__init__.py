"""A trained model in the files of other libraries; `EXPORTS` names the forms.

A form is a function `(described: Described) -> bytes` in a file of its own, and a row here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedlearn.checked import takes_plain
from fedlearn.configured import plain_value
from fedlearn.disk import write_atomic
from fedlearn.errors import BadInput
from fedlearn.registry import Registry

if TYPE_CHECKING:
    from fedlearn.modelfile import Described

EXPORTS = Registry(
    "export",
    {
        "torch": ("fedlearn.exchange.arrays:torch_state", "PyTorch's state dict, .pt (extra torch)"),
        "onnx": ("fedlearn.exchange.onnx:onnx_model", "a model that ONNX Runtime runs, .onnx (extra onnx)"),
        "npz": ("fedlearn.exchange.arrays:npz", "NumPy's arrays by name, .npz"),
    },
)


@takes_plain
def ending(form: str) -> str:
    """The file name's ending for a format."""
    return "pt" if form == "torch" else form


def export(described: Described, form: str, target: Path) -> None:
    """Write a model in the form of this name; `BadInput` for a form that cannot say it, or a file that is there."""
    target = plain_value("target", target, Path)
    if target.exists():
        raise BadInput(f"{target} exists: choose another name, or take it away")
    content: bytes = EXPORTS.load(form)(described)
    try:
        write_atomic(target, content)
    except OSError as error:
        raise BadInput(f"cannot write {target} ({error.strerror}): choose another place") from None
