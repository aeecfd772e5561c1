"""Real runs, really stopped: Ctrl-C, SIGTERM, SIGKILL, a full disk. Each goes on to the model of an unstopped one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fedlearn.protocol import PartyView, Update
from scenarios.bench.kill_and_resume import CASES, left_alone, measure, members
from tests.scenarios.command import fedlearn, last_json

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for orphans in /proc")

ROUNDS = 15
SPAM = ["run", "spam", "--vocabulary", "hashed:256", "--epochs", "1", "--rounds", str(ROUNDS), "--quiet", "--json"]
KEY = ["--key-bits", "512", "--insecure-test-key"]
POOLS = {
    "inline": ["--protection", "none"],
    "processes": ["--protection", "paillier", *KEY, "--pool", "processes"],
    "trustees": ["--protection", "threshold:2/3", *KEY, "--pool", "processes", "--workers", "3"],
}
# The command, which does not come past its last round but one by itself: however late a signal is sent, there is a
# run for it to stop.
HELD = f"""
import logging, sys, time
from scenarios.command.main import main

class Hold(logging.Handler):
    def emit(self, record):
        while record.getMessage().startswith("round {ROUNDS - 1} of {ROUNDS}:"):
            time.sleep(0.01)

logging.getLogger("aggregator.aggregator").addHandler(Hold())
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The hash of the uninterrupted run; it is the same under every pool and protection."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert fedlearn(*SPAM, "--protection", "none", "--out", str(folder)) == 0
    return json.loads((folder / "run.json").read_text())["outcome"]["model_sha256"]


def start(arguments, folder: Path) -> subprocess.Popen:
    """A run in a session and process group of its own, as a shell starts it, that waits to be stopped."""
    command = [sys.executable, "-c", HELD, *arguments, "--out", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_rounds(process: subprocess.Popen, folder: Path, count: int) -> None:
    while process.poll() is None and rounds_in(folder) < count:
        time.sleep(0.01)
    assert process.poll() is None, process.stderr.read()


def rounds_in(folder: Path) -> int:
    metrics = folder / "metrics.jsonl"
    return len(metrics.read_text().splitlines()) if metrics.exists() else 0


def resumed(arguments, folder: Path, capsys) -> str:
    capsys.readouterr()
    assert fedlearn(*arguments, "--out", str(folder), "--resume") == 0
    return last_json(capsys)["model_sha256"]


@pytest.mark.parametrize("pool", ["inline", pytest.param("trustees", marks=pytest.mark.slow)])
def test_ctrl_c_says_how_to_go_on_and_leaves_no_process_behind(pool, tmp_path, whole, capsys):
    folder, arguments = tmp_path / "run", [*SPAM, *POOLS[pool]]
    process = start(arguments, folder)
    wait_for_rounds(process, folder, 2)
    assert len(members(process.pid)) >= {"inline": 1, "trustees": 7}[pool]
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: everybody in the group gets it
    shown, said = process.communicate()
    assert process.returncode == 130
    assert said == f"fedlearn: interrupted; go on with --resume {folder}\n"
    assert shown == ""
    assert left_alone(process.pid)
    assert json.loads((folder / "run.json").read_text())["outcome"] == {"state": "interrupted"}
    assert rounds_in(folder) < ROUNDS
    assert resumed(arguments, folder, capsys) == whole


def test_ctrl_c_before_the_first_round_can_be_gone_on_with_too(tmp_path, whole, capsys):
    folder, arguments = tmp_path / "run", [*SPAM, *POOLS["processes"]]
    process = start(arguments, folder)
    while process.poll() is None and not (folder / "run.json").exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert said.count("\n") == 1
    assert left_alone(process.pid)
    assert resumed(arguments, folder, capsys) == whole


def test_sigterm_ends_a_run_in_good_order(tmp_path, whole, capsys):
    folder, arguments = tmp_path / "run", [*SPAM, *POOLS["processes"]]
    process = start(arguments, folder)
    wait_for_rounds(process, folder, 1)
    process.terminate()  # the run alone, as a service manager does
    _, said = process.communicate()
    assert process.returncode == 143
    assert f"--resume {folder}" in said
    assert left_alone(process.pid)
    assert resumed(arguments, folder, capsys) == whole


@pytest.mark.slow  # tests/clients/test_memory.py kills and resumes as well
@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_is_resumed_to_the_same_model(case):
    result = measure(case, 3, np.random.default_rng(), most=1, options=["--rounds", "8"])
    assert result.failures == []
    assert result.runs == 3


def test_a_recorded_run_can_be_read_after_it_was_killed_and_resumed(tmp_path, capsys):
    folder, arguments = tmp_path / "run", [*SPAM, *POOLS["inline"], "--record"]
    process = start(arguments, folder)
    wait_for_rounds(process, folder, 3)
    process.kill()
    process.communicate()
    with open(folder / "transcript.jsonl", "a") as rows:
        rows.write('{"session": "torn')  # what a death in the middle of writing leaves
    resumed(arguments, folder, capsys)
    rounds = [message.step.round for message, _ in PartyView.load(folder).bodies(Update)]
    assert sorted(set(rounds)) == list(range(1, ROUNDS + 1))


LIMITED = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); "
LIMITED += "sys.dont_write_bytecode = True; "  # which would be cut, and read by whoever comes next
LIMITED += "from scenarios.command.main import main; main(sys.argv[1:])"


def stopped_by_the_disk(folder: Path, said: str, status: int, reason: str) -> list[Path]:
    """What is checked of every run that could not write on; its checkpoints."""
    assert status == 1
    assert said.count("\n") == 1, said
    assert f"{reason}: '{folder}" in said
    assert f"--resume {folder}" in said
    assert not list(folder.rglob("*.tmp"))
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kept = sorted(folder.glob("checkpoint/round-*.safetensors"))
    assert [row["round"] for row in rows] == list(range(1, len(rows) + 1))
    assert int(kept[-1].stem.removeprefix("round-")) == len(rows)
    return kept


def test_a_file_that_cannot_grow_ends_the_run_and_leaves_the_rounds_before(tmp_path, whole, capsys):
    folder, arguments = tmp_path / "run", [*SPAM, *POOLS["inline"], "--transcript", "digest"]
    limit = 5_000  # bytes of one file: metrics.jsonl is the first to grow over it
    command = [sys.executable, "-c", LIMITED.format(limit), *arguments, "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    kept = stopped_by_the_disk(folder, done.stderr, done.returncode, "File too large")
    assert all(0 < path.stat().st_size <= limit for path in kept)
    assert rounds_in(folder) > 2
    assert resumed(arguments, folder, capsys) == whole


def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(tmp_path, whole, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "none", disk], capture_output=True).returncode
    ):
        pytest.skip("no right to mount a small disk")
    try:
        folder, arguments = disk / "run", [*SPAM, *POOLS["inline"]]
        command = [sys.executable, "-m", "scenarios.command.main", *arguments, "--out", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        stopped_by_the_disk(folder, done.stderr, done.returncode, "No space left on device")
        subprocess.run(["mount", "-o", "remount,size=1m", disk], check=True)
        assert resumed(arguments, folder, capsys) == whole
    finally:
        subprocess.run(["umount", disk], check=True)
