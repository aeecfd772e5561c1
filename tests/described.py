"""What a model's file says of itself: read, and written anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.numpy import load_file

from fedlearn.modelfile import WEIGHTS, WITHIN, model_bytes


def description(folder: str | Path) -> dict[str, Any]:
    with safe_open(Path(folder, WEIGHTS), "np") as file:
        return json.loads(file.metadata()[WITHIN])


def describe(folder: Path, text: str) -> None:
    """The same weights under other words; "": under none."""
    (folder / WEIGHTS).write_bytes(model_bytes(load_file(folder / WEIGHTS), text.encode()))


def change(folder: Path, **values: object) -> None:
    """Other values by name in the description; None: that name is not there."""
    about = description(folder) | values
    describe(folder, json.dumps({name: value for name, value in about.items() if value is not None}))
