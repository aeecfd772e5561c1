"""Weights as arrays by name: PyTorch's state dict, NumPy's .npz and safetensors, out and in.

Our layers have PyTorch's names and shapes, so that a module written in PyTorch with the same parts loads the state dict
as it is. Nothing is unpickled but what PyTorch itself takes for plain weights (`weights_only=True`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from importlib import import_module
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fedlearn.checked import takes_plain
from fedlearn.datasets.files.opening import DAMAGED
from fedlearn.errors import BadInput
from fedlearn.modelfile import Described, weights_in
from fedlearn.models.base import Model
from fedlearn.untrusted import without_waiting

LARGEST = 2**31  # bytes of weights that are read


@takes_plain
def npz(described: Described) -> bytes:
    """A .npz file with an array for each parameter."""
    out = BytesIO()
    np.savez(out, **described.model.state_dict())  # type: ignore[arg-type]
    return out.getvalue()


@takes_plain
def torch_state(described: Described) -> bytes:
    """The bytes that `torch.save(state_dict)` writes; `BadInput` where PyTorch is not installed."""
    torch, out = _torch(), BytesIO()
    torch.save({name: torch.from_numpy(array) for name, array in described.model.state_dict().items()}, out)
    return out.getvalue()


@takes_plain
def read_state(path: Path) -> dict[str, np.ndarray]:
    """The arrays by name in a file of PyTorch, .npz or .safetensors, whatever it is called; `BadInput` for another."""
    try:
        with open(path, "rb", opener=without_waiting) as file:
            head = file.read(12)
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror}): give a file that can be read") from None
    if head[4:9] == bytes(4) + b"{":  # first, since the length before it may begin as any other file does
        return weights_in(path)
    if head.startswith(b"PK"):
        return _read_npz(path) if _holds_arrays(path) else _read_torch(path)
    if head.startswith(b"\x80"):  # PyTorch before 1.6, and pickles, which it refuses
        return _read_torch(path)
    raise BadInput(f"{path} is no state dict of PyTorch's, no .npz and no .safetensors: save model.state_dict() as one")


def _holds_arrays(path: Path) -> bool:
    """True where a zip file holds NumPy's arrays; of a damaged one its name decides."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (OSError, *DAMAGED):
        return path.suffix.lower() == ".npz"


@takes_plain
def take_state(model: Model, state: Mapping[str, Any], where: Path) -> None:
    """Give the model these weights; `BadInput` names one that is missing, of another shape or not finite."""
    odd = next((name for name, array in state.items() if not (name.isprintable() and _finite(array))), None)
    if odd is not None:
        raise BadInput(f"{where}: {odd!r:.60} is no array of finite numbers: export it once more")
    model.load_state_dict(state)


def _finite(array: Any) -> bool:
    """True for an array of numbers that are finite as float32, too."""
    if not (isinstance(array, np.ndarray) and array.dtype.kind in "fiu"):
        return False
    with np.errstate(over="ignore"):
        return bool(np.isfinite(array.astype(np.float32, copy=False)).all())


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > LARGEST:
            raise BadInput(f"{path} unpacks to {unpacked >> 20:,} MiB, the limit is {LARGEST >> 20:,}: no model's")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except BadInput:
        raise
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror or 'damaged'}): give a file that can be read") from None
    except (*DAMAGED, AttributeError) as error:
        raise BadInput(f"{path} is no .npz of plain arrays ({str(error)[:60]}): save it once more") from None


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    torch = _torch()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BadInput(f"cannot read {path} ({error.strerror or 'damaged'}): give a file that can be read") from None
    except Exception as error:  # of many kinds: what PyTorch does not take for weights alone
        first = str(error).strip().partition("\n")[0][:80]
        raise BadInput(f"{path} is no state dict of plain tensors ({first}): save model.state_dict()") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise BadInput(f"{path} holds {type(state).__name__}, not tensors by name: save model.state_dict()")
    return {str(name): tensor.detach().to_dense().float().numpy() for name, tensor in state.items()}


def _torch() -> ModuleType:
    try:
        return import_module("torch")
    except ImportError:
        raise BadInput("PyTorch is not installed: pip install 'fedlearn[torch]', or take npz") from None
