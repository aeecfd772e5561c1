"""What a run folder keeps: a round whole or not at all, whenever the process dies or the disk is full."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from aggregator import RoundRecord, RunFolder
from aggregator.runfolder import saying_how_to_resume
from fedlearn.errors import BadInput
from fedlearn.protocol import Step
from tests.aggregator.folders import begun, checkpoints, gone_on, keep, rows, run_folder, state, weights

ROUNDS = 4


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


@pytest.mark.parametrize(
    ("leave", "says"),
    [
        (lambda metrics: metrics.unlink(), "metrics.jsonl has 0 lines where 4 are needed"),
        (lambda metrics: metrics.write_bytes(metrics.read_bytes()[1:]), "line 1 of metrics.jsonl is damaged"),
        (lambda metrics: metrics.write_bytes(b"{}" + metrics.read_bytes()), "line 1 of metrics.jsonl is damaged"),
        (lambda metrics: metrics.write_text("".join(metrics.open().readlines()[1:])), "lines where 4 are needed"),
    ],
)
def test_where_no_checkpoint_is_of_use_nothing_is_changed_and_the_user_is_asked(leave, says, tmp_path):
    with begun(tmp_path / "run") as folder:
        for round in range(1, ROUNDS + 1):
            keep(folder, round)
    leave(folder.path / "metrics.jsonl")
    folder.journal.asked(Step(ROUNDS), b"the digest of a model")
    before = {file: file.read_bytes() for file in folder.path.rglob("*") if file.is_file() and file.name != "run.json"}
    refused = pytest.raises(BadInput, match=rf"round-000004.safetensors: .*{says}.*--from {folder.path}")
    with refused, begun(folder.path, resume=True) as again:
        again.read_checkpoint()
    assert {file: file.read_bytes() for file in before} == before


def test_what_is_damaged_is_set_aside_and_said(tmp_path, caplog):
    with begun(tmp_path / "run") as folder:
        for round in range(1, ROUNDS + 1):
            keep(folder, round)
    metrics = folder.path / "metrics.jsonl"
    damaged = metrics.read_bytes().replace(b'"round": 4', b'"round": four')
    metrics.write_bytes(damaged)
    newest = folder.path / "checkpoint" / "round-000004.safetensors"
    weights_of_round_4 = newest.read_bytes()
    for kept in ("damaged", "damaged-2"):
        with begun(folder.path, resume=True) as again:
            assert gone_on(again) == ROUNDS - 1
        assert metrics.with_name(f"metrics.jsonl.{kept}").read_bytes() == damaged
        assert newest.with_name(f"{newest.name}.{kept}").read_bytes() == weights_of_round_4
        assert f"line 4 of metrics.jsonl is damaged; it is kept as {newest.name}.{kept}" in caplog.text
        metrics.write_bytes(damaged)
        newest.write_bytes(weights_of_round_4)


def test_one_process_at_a_time_writes_in_a_run_folder(tmp_path):
    path = tmp_path / "run"
    with begun(path) as folder:
        keep(folder, 1)
        beside = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
        for resume in (True, False):
            with pytest.raises(BadInput, match=r"another process writes in|not empty"), begun(path, resume):
                pass
        assert {file: file.read_bytes() for file in beside} == beside
        keep(folder, 2)
    with begun(path, resume=True) as again:
        assert gone_on(again) == 2


@pytest.mark.parametrize("linked", [False, True])
def test_a_run_that_is_refused_leaves_nothing_and_the_next_starts_in_the_same_place(linked, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    path = tmp_path / "run"
    if linked:
        path.symlink_to("elsewhere")
    with pytest.raises(BadInput, match=r"^no$"), begun(path):
        raise BadInput("no")
    assert sorted(tmp_path.glob("*/*")) == []
    assert path.exists() == linked
    with begun(path) as folder:
        keep(folder, 1)
    with begun(path, resume=True) as again:
        assert gone_on(again) == 1


def test_of_two_runs_that_start_at_once_in_one_folder_the_second_is_refused(tmp_path):
    path = tmp_path / "run"
    first, second, third = run_folder(path), run_folder(path), run_folder(path)  # it is still new to all of them
    with first.opened():
        keep(first, 1)
        with pytest.raises(BadInput, match="another process writes in"), second.opened():
            pass
    with pytest.raises(BadInput, match="not empty"), third.opened():
        pass
    assert len(rows(path)) == 1


def hold(path: Path) -> None:
    """Writes in a run folder until it is killed."""
    with begun(path) as folder:
        keep(folder, 1)
        print("begun", flush=True)
        signal.pause()


def test_a_run_that_was_killed_holds_nobody_off(tmp_path):
    code = "from pathlib import Path; from tests.aggregator.test_runfolder import hold; "
    command = [sys.executable, "-c", code + f"hold(Path({str(tmp_path / 'run')!r}))"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        with pytest.raises(BadInput, match="another process writes in"), begun(tmp_path / "run", resume=True):
            pass
        process.kill()
    with begun(tmp_path / "run", resume=True) as folder:
        assert gone_on(folder) == 1


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
        if not (path / "run.json").exists():  # nothing to go on with: it is started anew, in the same folder
            run_folder(path)
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


def test_a_folder_that_there_was_no_room_for_has_no_run_and_is_free_for_another(tmp_path):
    files = {"run.toml": b"x" * 5000}
    folder = RunFolder(tmp_path / "run", {}, {"name": "none"}, files=files)
    with files_of_at_most(4000), pytest.raises(OSError, match=r"File too large: .*run.toml"), folder.opened():
        pass
    assert not folder.begun
    (folder.path / "run.toml").write_bytes(b"whole, and run.json was not")
    with RunFolder(folder.path, {}, {"name": "none"}, files=files).opened():
        assert folder.begun


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
    ("record", "large"),
    [
        (RoundRecord(2, void="of many " * 1000), {}),
        (RoundRecord(2), {"large": np.zeros(2000)}),
    ],
    ids=["line", "checkpoint"],
)
def test_a_round_that_cannot_be_written_is_not_entered(record, large, tmp_path):
    with begun(tmp_path / "run") as folder:
        keep(folder, 1)
        with files_of_at_most(4000), pytest.raises(OSError, match="File too large"):
            folder.keep(record, weights(2), state(2) | large, lambda: state(2))
        assert len(rows(folder.path)) == 1
        assert checkpoints(folder.path) == [1]
        assert not list(tmp_path.rglob("*.tmp"))
        keep(folder, 2)
    with begun(folder.path, resume=True) as again:
        assert gone_on(again) == 2


def test_bad_input_leaves_no_folder_but_that_of_a_run_with_a_round(tmp_path):
    with pytest.raises(BadInput), begun(tmp_path / "empty"):
        raise BadInput("before the first round")
    assert not (tmp_path / "empty").exists()
    with pytest.raises(BadInput), begun(tmp_path / "begun") as folder:  # noqa: PT012
        keep(folder, 1)
        folder.keep(RoundRecord(2), weights(2), {"odd": np.array(["a"])}, dict)
    assert json.loads((folder.path / "run.json").read_text())["outcome"]["state"] == "failed"


@pytest.mark.parametrize(
    ("rounds", "begun_with", "goes_on"), [(2, 3, False), (3, 3, True), (4, 3, True), (3, "3", False)]
)
def test_a_run_goes_on_for_longer_and_never_for_shorter(rounds, begun_with, goes_on, tmp_path):
    """Where a file says a text instead of a number, somebody else has written it."""
    folder = RunFolder(tmp_path / "run", {"rounds": 3}, {"name": "toy"})
    with folder.opened():
        keep(folder, 1)
    run = tmp_path / "run" / "run.json"
    written = json.loads(run.read_text())
    run.write_text(json.dumps(written | {"configuration": {"rounds": begun_with}}))
    with (
        nullcontext() if goes_on else pytest.raises(BadInput, match=f"cannot resume with rounds={rounds}, the run was")
    ):
        RunFolder(tmp_path / "run", {"rounds": rounds}, {"name": "toy"}, resume=True)


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, OSError])
def test_where_there_is_nothing_to_go_on_with_nobody_is_told_to(stopped, tmp_path):
    for folder in (None, RunFolder(tmp_path / "run", {}, {})):
        with pytest.raises(stopped) as raised, saying_how_to_resume(folder):
            raise stopped
        assert not getattr(raised.value, "__notes__", [])
