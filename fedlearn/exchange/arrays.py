"""Weights as arrays by name: PyTorch's state dict, NumPy's .npz and safetensors, out and in.

Our layers have PyTorch's names and shapes, so that a module written in PyTorch with the same parts loads the state dict
as it is. Nothing is unpickled but what PyTorch itself takes for plain weights (`weights_only=True`).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fedlearn.datasets.files.opening import DAMAGED
from fedlearn.errors import BadInput
from fedlearn.modelfile import Described, weights_in
from fedlearn.models.base import Model

LARGEST = 2**31  # bytes of weights that are read


def npz(described: Described) -> bytes:
    """A .npz file with an array for each parameter."""
    out = BytesIO()
    np.savez(out, **described.model.state_dict())  # type: ignore[arg-type]
    return out.getvalue()


def torch_state(described: Described) -> bytes:
    """What `torch.save(state_dict)` writes; `BadInput` where PyTorch is not installed."""
    torch, out = _torch(), BytesIO()
    torch.save({name: torch.from_numpy(array) for name, array in described.model.state_dict().items()}, out)
    return out.getvalue()


def read_state(path: Path) -> dict[str, np.ndarray]:
    """The arrays by name in a file: .pt or .pth of PyTorch, .npz, or .safetensors; `BadInput` for another one."""
    read = READERS.get(path.suffix.lower())
    if read is None:
        raise BadInput(f"{path} is none of {', '.join(READERS)}: save the state dict as one of these")
    return read(path)


def take_state(model: Model, state: Mapping[str, Any], where: Path) -> None:
    """Give the model these weights; `BadInput` names one that is missing, of another shape or not finite."""
    odd = next((name for name, array in state.items() if not (name.isprintable() and _finite(array))), None)
    if odd is not None:
        raise BadInput(f"{where}: {odd!r:.60} is no array of finite numbers: export it once more")
    model.load_state_dict(state)


def _finite(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "fiu" and bool(np.isfinite(array).all())


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
        import torch
    except ImportError:
        raise BadInput("PyTorch is not installed: pip install 'fedlearn[torch]', or take npz") from None
    return torch


READERS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
    ".pt": _read_torch, ".pth": _read_torch, ".npz": _read_npz, ".safetensors": weights_in,
}  # fmt: skip
