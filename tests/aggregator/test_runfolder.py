"""What a run folder keeps: a round whole or not at all, whenever the process dies or the disk is full."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from aggregator import RoundRecord, RunFolder

ROUNDS = 4


@contextmanager
def begun(path: Path, resume: bool = False) -> Iterator[RunFolder]:
    folder = RunFolder(path, {"seed": 5}, {"name": "toy"}, resume=resume)
    transcript = folder.begin()
    try:
        yield folder
    finally:
        transcript.close()
        folder.end()


def arrays(round: int) -> dict[str, np.ndarray]:
    return {"weights": np.full(100, round, np.float32), "momentum": np.full((3, 2), -round, np.float64)}


def keep(folder: RunFolder, round: int) -> None:
    folder.keep(RoundRecord(round, clients_ok=7, loss=1 / round), arrays(round), lambda: arrays(round))


def gone_on(folder: RunFolder) -> int:
    """The round that a resumed run goes on after, checked to be that one in all that is kept; 0 where it is none."""
    kept = folder.read_checkpoint()
    lines = rows(folder.path)
    if kept is None:
        assert not lines
        return 0
    state, records = kept
    expected = arrays(len(records))
    assert state.keys() == expected.keys()
    assert all(state[name].tobytes() == expected[name].tobytes() for name in state)
    assert records == [RoundRecord(round, clients_ok=7, loss=1 / round) for round in range(1, len(records) + 1)]
    assert len(lines) == len(records)
    return len(records)


def rows(path: Path) -> list[str]:
    metrics = path / "metrics.jsonl"
    return metrics.read_text().splitlines() if metrics.exists() else []


def checkpoints(path: Path) -> list[int]:
    return sorted(int(file.stem.removeprefix("round-")) for file in path.glob("checkpoint/round-*.safetensors"))


def test_a_checkpoint_does_not_grow_with_the_rounds_behind_it(tmp_path):
    sizes = set()
    with begun(tmp_path / "run") as folder:
        for round in range(1, 31):
            keep(folder, round)
            sizes |= {file.stat().st_size for file in tmp_path.glob("run/checkpoint/*")}
            assert len(checkpoints(folder.path)) <= 3  # two, and the last one that was forced to the disk
    assert len(sizes) == 1


def tear_a_line(path: Path) -> None:
    with open(path / "metrics.jsonl", "a") as metrics:
        metrics.write('{"round": 5, "loss"')


def enter_a_round_without_its_checkpoint(path: Path) -> None:
    with open(path / "metrics.jsonl", "a") as metrics:
        metrics.write(rows(path)[-1].replace('"round": 4', '"round": 5') + "\n")


def lose_the_last_line(path: Path) -> None:
    (path / "metrics.jsonl").write_text("".join(row + "\n" for row in rows(path)[:-1]))


def tear_the_last_line(path: Path) -> None:
    (path / "metrics.jsonl").write_text("\n".join(rows(path)))  # all of it but the end of the line


def cut_the_checkpoint(path: Path) -> None:
    newest = path / "checkpoint" / "round-000004.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])


def turn_a_bit(path: Path) -> None:
    newest = path / "checkpoint" / "round-000004.safetensors"
    data = bytearray(newest.read_bytes())
    data[-50] ^= 1
    newest.write_bytes(data)


def begin_the_next_checkpoint(path: Path) -> None:
    (path / "checkpoint" / "round-000005.safetensors.tmp").write_bytes(b"half")


@pytest.mark.parametrize(
    ("leave", "after"),
    [
        (tear_a_line, 4),
        (enter_a_round_without_its_checkpoint, 4),
        (begin_the_next_checkpoint, 4),
        (lose_the_last_line, 3),
        (tear_the_last_line, 3),
        (cut_the_checkpoint, 3),
        (turn_a_bit, 3),
    ],
)
def test_what_is_not_whole_is_cut_off_and_the_run_goes_on_before_it(leave, after, tmp_path):
    with begun(tmp_path / "run") as folder:
        for round in range(1, ROUNDS + 1):
            keep(folder, round)
    leave(folder.path)
    with begun(folder.path, resume=True) as again:
        assert gone_on(again) == after
        for round in range(after + 1, 8):
            keep(again, round)
        assert again.resumable[-2:] == checkpoints(again.path)[-2:] == [6, 7]
        assert len(set(again.resumable)) == len(again.resumable)
    with begun(folder.path, resume=True) as last:
        assert gone_on(last) == 7
    assert not list(tmp_path.rglob("*.tmp"))


def test_without_its_records_a_run_starts_over(tmp_path):
    with begun(tmp_path / "run") as folder:
        for round in range(1, ROUNDS + 1):
            keep(folder, round)
    (folder.path / "metrics.jsonl").unlink()
    with begun(folder.path, resume=True) as again:
        assert gone_on(again) == 0
        assert again.resumable == checkpoints(again.path) == []


def killed_at_every_step(parent: Path) -> None:
    """A run for each thing that one does to files, killed right before it: in parent/0, parent/1... until one ends."""
    for step in count():
        child = os.fork()
        if not child:
            left = iter(range(step))

            def hook(event: str, arguments: tuple[object, ...], left: Iterator[int] = left) -> None:
                if event in ("open", "os.rename", "os.truncate", "os.remove", "os.mkdir") and next(left, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)

            finished = open(parent / f"{step}.finished", "wb", buffering=0)  # noqa: SIM115
            sys.addaudithook(hook)
            with begun(parent / str(step)) as folder:
                for round in range(1, ROUNDS + 1):
                    keep(folder, round)
                    finished.write(b".")
                folder.sync()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))


def test_a_run_killed_before_any_step_of_its_work_on_files_goes_on_after_the_last_finished_round(tmp_path):
    code = "import sys; from pathlib import Path; from tests.aggregator.test_runfolder import killed_at_every_step\n"
    subprocess.run([sys.executable, "-c", code + "killed_at_every_step(Path(sys.argv[1]))", tmp_path], check=True)
    after = []
    for finished in sorted(tmp_path.glob("*.finished")):
        path = finished.with_suffix("")
        if not (path / "run.json").exists():  # nothing to go on with: it is started anew
            continue
        with begun(path, resume=True) as folder:
            after.append(gone_on(folder))
            assert after[-1] - finished.stat().st_size in (0, 1)  # it may have died between keeping and saying so
            for round in range(after[-1] + 1, ROUNDS + 1):
                keep(folder, round)
        with begun(path, resume=True) as folder:
            assert gone_on(folder) == ROUNDS
        assert checkpoints(path)[-2:] == [ROUNDS - 1, ROUNDS]
        assert not list(path.rglob("*.tmp"))
    assert set(after) == {*range(ROUNDS + 1)}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A limit of the system that a write runs into as into a full disk: in the middle of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (RoundRecord(2, void="of many " * 1000), {}),
        (RoundRecord(2), {"large": np.zeros(2000)}),
    ],
    ids=["line", "checkpoint"],
)
def test_a_round_that_cannot_be_written_is_not_entered(record, state, tmp_path):
    with begun(tmp_path / "run") as folder:
        keep(folder, 1)
        with files_of_at_most(4000), pytest.raises(OSError, match="File too large"):
            folder.keep(record, arrays(2) | state, lambda: arrays(2))
        assert len(rows(folder.path)) == 1
        assert checkpoints(folder.path) == [1]
        assert not list(tmp_path.rglob("*.tmp"))
        keep(folder, 2)
    with begun(folder.path, resume=True) as again:
        assert gone_on(again) == 2
