"""A run as it goes, on terminals of any width, and piped."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aggregator import RoundRecord
from scenarios.command.rounds import cells, chosen, line

RUN = [sys.executable, "-m", "fedlearn", "run", "spam", "--rounds", "3"]
KEY = ["--vocabulary", "hashed:256", "--key-bits", "512", "--insecure-test-key"]
LONGER = ["--vocabulary", "hashed:32768", "--key-bits", "1024", "--insecure-test-key"]  # so that phases can be seen
ROOT = str(Path(__file__).parents[2])
MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(arguments: list[str], columns: int, folder: Path) -> str:
    """All that a terminal of so many columns is sent."""
    master, slave = pty.openpty()
    environment = os.environ | {"PYTHONPATH": ROOT, "COLUMNS": str(columns), "TERM": "xterm"}
    run = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=slave, cwd=folder, env=environment)
    os.close(slave)
    shown = b""
    try:
        while piece := os.read(master, 1 << 16):
            shown += piece
    except OSError:
        pass  # what a terminal says when its other end is closed
    os.close(master)
    assert run.wait() == 0
    return shown.decode()


@pytest.mark.parametrize("columns", [40, pytest.param(80, marks=pytest.mark.slow)])
def test_one_line_says_where_it_is_and_the_table_fits(columns, tmp_path):
    shown = MOVES.sub("\n", on_a_terminal([*RUN, *LONGER], columns, tmp_path)).replace("\r", "\n").splitlines()
    table = [each for each in shown if re.match(r" +(round|\d+) ", each)]
    assert len(table) == 4
    assert max(map(len, table)) <= columns
    live = [each for each in shown if each.startswith("round ")]
    assert max(map(len, live)) <= columns
    assert any("opening" in each or "training and enc" in each for each in live)
    assert any(re.match(r"round 1 of 3, .* left", each) for each in live)


def test_piped_it_is_lines_of_text(tmp_path):
    done = subprocess.run(
        [*RUN, *KEY], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": ROOT, "COLUMNS": "40"}, check=True,
    )  # fmt: skip
    assert "\x1b" not in done.stderr
    assert "\r" not in done.stderr
    *_, outlook, head, first, second, third = done.stderr.splitlines()
    assert outlook.startswith("3 clients train 257 weights in 3 rounds (fedavg, paillier); encrypting and opening sums")
    assert head.split()[:4] == ["round", "loss", "accuracy", "f1"]
    assert [each.split()[0] for each in (first, second, third)] == ["1", "2", "3"]


def test_a_row_has_the_columns_for_which_there_is_room():
    row = cells(RoundRecord(3, 61, 39, evaluation_loss=0.5, metrics={"accuracy": 0.9, "f1": 0.8}, bytes_up=1234))
    assert chosen(row, 200) == list(row)
    assert chosen(row, 80) == list(row)
    assert chosen(row, 45) == ["round", "loss", "accuracy", "f1", "clients"]
    assert chosen(row, 20) == ["round", "loss"]
    assert line(row, ["round", "loss", "up kB", "nothing"]) == "      3   0.5000       1.2        -"
