"""Run folders of a toy run, whose weights and state follow from the round."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from aggregator import RoundRecord, RunFolder


def run_folder(path: Path, resume: bool = False) -> RunFolder:
    return RunFolder(path, {"seed": 5}, {"name": "toy"}, resume=resume)


@contextmanager
def begun(path: Path, resume: bool = False) -> Iterator[RunFolder]:
    folder = run_folder(path, resume)
    with folder.opened():
        yield folder


def weights(round: int) -> np.ndarray:
    return np.full(100, round, np.float32)


def state(round: int) -> dict[str, np.ndarray]:
    return {"momentum": np.full((3, 2), -round, np.float64)}


def keep(folder: RunFolder, round: int) -> None:
    folder.keep(
        RoundRecord(round, clients_ok=7, evaluation_loss=1 / round), weights(round), state(round), lambda: state(round)
    )


def gone_on(folder: RunFolder) -> int:
    """The round that a resumed run goes on after, checked to be that one in all that is kept; 0 where it is none."""
    kept = folder.read_checkpoint()
    lines = rows(folder.path)
    if kept is None:
        assert not lines
        return 0
    records, expected = kept.records, state(len(kept.records))
    assert kept.weights.tobytes() == weights(len(records)).tobytes()
    assert kept.state.keys() == expected.keys()
    assert all(kept.state[name].tobytes() == expected[name].tobytes() for name in expected)
    assert records == [
        RoundRecord(round, clients_ok=7, evaluation_loss=1 / round) for round in range(1, len(records) + 1)
    ]
    assert len(lines) == len(records)
    return len(records)


def rows(path: Path) -> list[str]:
    metrics = path / "metrics.jsonl"
    return metrics.read_text().splitlines() if metrics.exists() else []


def checkpoints(path: Path) -> list[int]:
    return sorted(int(file.stem.removeprefix("round-")) for file in path.glob("checkpoint/round-*.safetensors"))
