"""`fedlearn export` and `import`: models to other libraries, and weights back from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedlearn.wording import many
from scenarios.command.asking import Run, Trust, loaded


def export(
    run: Run,
    to: Annotated[str, typer.Option("--to", help="torch, onnx or npz; `fedlearn list export` says more.")],
    out: Annotated[Path | None, typer.Option("--out", help="A new file; without it one in the run's folder.")] = None,
    trusted: Trust = None,
) -> None:
    """Write a trained model in one file: PyTorch's state dict, an ONNX graph, or NumPy's arrays."""
    from fedlearn.exchange import EXPORTS, ending, export
    from fedlearn.modelfile import weights_file

    EXPORTS.load(to)  # refused before anything is read
    trained = loaded(run, trusted)
    target = out or weights_file(run).with_name(f"model.{ending(to)}")
    export(trained.about, to, target)
    typer.echo(f"{target}: {type(trained.model).__name__} of {many(trained.model.vector.size, 'weight')}")


def import_(
    state: Annotated[Path, typer.Argument(help="Weights by name: of PyTorch, .npz or .safetensors.")],
    like: Annotated[Path, typer.Option("--like", help="A run whose model has weights of these names and shapes.")],
    out: Annotated[Path, typer.Option("--out", help="A new folder, for `predict --run`, `run --from` and so on.")],
    trusted: Trust = None,
) -> None:
    """Take weights that were trained elsewhere, as PyTorch's state dict, into a model that answers and trains on."""
    from fedlearn.exchange.arrays import read_state, take_state
    from fedlearn.modelfile import write_model

    trained = loaded(like, trusted)
    take_state(trained.model, read_state(state), state)
    write_model(trained.about, out)
    typer.echo(f"{out}: {type(trained.model).__name__} of {many(trained.model.vector.size, 'weight')}")
