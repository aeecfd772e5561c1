"""Files of a user's own, from the command to a trained filter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scenarios.command.main import main

FORMATS = Path(os.environ.get("FEDLEARN_DATA", "/nowhere")) / "formats"
HAM = ("see you at nine", "mum says hello", "the bakery is shut", "thanks for the lift")
SPAM = ("win a free prize", "claim your cash now", "cheap pills today", "urgent: you have won")


def table(count: int = 60, header: str = "label,text,user", spam: str = "spam", first: int = 0) -> str:
    rng = np.random.default_rng(first)
    lines = [header]
    for i in range(first, first + count):
        is_spam = i % 3 == 0
        text = f"{rng.choice(SPAM if is_spam else HAM)} number {i}"
        lines.append(f"{spam if is_spam else 'ham'},{text},{('bob', 'sue', 'ida')[i // 3 % 3]}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def go(data: str | Path, *options: str) -> tuple[dict, str]:
        """The outcome and what was said on standard error."""
        arguments = ["run", "spam", "--data", str(data), "--protection", "none", "--rounds", "3", "--json", *options]
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        return (json.loads(out.splitlines()[-1]) if ended.value.code == 0 else {}), err

    return go


@pytest.fixture
def mine(tmp_path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text(table())
    return path


@pytest.mark.skipif(not FORMATS.is_dir(), reason="needs the folder formats under FEDLEARN_DATA")
@pytest.mark.parametrize("name", [f"{number:02}" for number in range(1, 15)])
def test_files_of_every_kind_train_with_nothing_but_their_name(run, name):
    if name == "14":
        pytest.importorskip("pyarrow", reason="needs pyarrow (extra parquet)")
    (path,) = FORMATS.glob(f"{name}_*")
    outcome, said = run(path)
    assert outcome["metrics"]["accuracy"] > 0.9
    assert f"note: {path}: " in said


def test_one_line_says_what_was_read(run, mine):
    mine.write_text(table() + "ham,hello again,bob\n" * 3)
    _, said = run(mine)
    expected = f"note: {mine}: 63 messages, 32% spam, 3 users, 2 repeats dropped; 49 to train, 12 to test"
    assert said.splitlines()[0] == expected
    assert run(mine, "--quiet")[1] == ""


def test_users_are_clients_where_there_are_enough(run, mine):
    _, said = run(mine, "--out", "natural")
    assert "dealt" not in said
    assert json.loads(Path("natural/run.json").read_text())["configuration"]["partition"] == "natural"
    mine.write_text(table().replace("ida", "sue"))
    _, said = run(mine, "--out", "dealt")
    assert "note: 2 users are fewer than --min-cohort 3: messages are dealt" in said
    assert json.loads(Path("dealt/run.json").read_text())["configuration"]["partition"] == "iid"


def test_the_one_option_that_the_message_asks_for_is_enough(run, mine):
    mine.write_text(table(header="kind,note,who", spam="rubbish").replace("ham,", "letter,"))
    outcome, said = run(mine)
    assert not outcome
    assert "name the one of spam with --spam-label VALUE" in said or "give --label-column" in said
    assert run(mine, "--spam-label", "rubbish", "--label-column", "kind")[0]["metrics"]["accuracy"] > 0.9


def test_held_out_data_of_ones_own(run, mine, tmp_path):
    exam = tmp_path / "exam.csv"
    exam.write_text(table(30, first=100) + table(4).partition("\n")[2])
    outcome, said = run(mine, "--test-data", str(exam), "--out", "r")
    assert "56 to train, 34 to test" in said
    assert outcome["metrics"]["accuracy"] > 0.9
    assert len(json.loads(Path("r/run.json").read_text())["data_set"]["test_sha256"]) == 64
    assert "give one of the two" in run(mine, "--test-data", str(exam), "--test-fraction", "0.5")[1]
    assert "30 to train, 30 to test" in run(mine, "--test-fraction", "0.5")[1]
    assert "a label is missing" in run(mine, "--test-data", str(mine))[1]


def test_more_classes_need_a_model_that_tells_them_apart(run, mine):
    lines = (f"{('news', 'sport', 'music')[i % 3]},{('vote', 'goal', 'song')[i % 3]} {i}" for i in range(60))
    mine.write_text("label,text\n" + "\n".join(lines))
    outcome, said = run(mine, "--labels", "news,sport,music", "--model", "sequence", "--vocabulary", "hashed:64")
    assert "33% news, 33% sport, 33% music" in said
    assert set(outcome["metrics"]) == {"loss", "accuracy"}
    assert "tells two apart: take --model sequence" in run(mine, "--labels", "news,sport,music")[1]


def test_bad_rows_and_wrong_columns_are_one_line(run, mine):
    mine.write_text(table() + "egg,x\n")
    _, said = run(mine)
    assert said.startswith(f"fedlearn: {mine}: 1 of 61 rows cannot be read (line 62: ")
    assert said.count("\n") == 1
    outcome, said = run(mine, "--skip-bad")
    assert "1 bad rows left out" in said
    assert outcome["rounds"] == 3
    assert "no column 'textt' (did you mean 'text'?)" in run(mine, "--text-column", "textt")[1]
    assert "sample is no file of yours" in run("sample", "--encoding", "utf-8")[1]


def test_standard_input_of_a_real_process(mine, tmp_path):
    command = [sys.executable, "-m", "scenarios.command.main", "run", "spam", "--data", "-", "--rounds", "1"]
    options = ["--protection", "none", "--out", str(tmp_path / "run")]
    done = subprocess.run([*command, *options], input=table().encode(), capture_output=True, check=True)
    assert b"note: standard input: 60 messages" in done.stderr
