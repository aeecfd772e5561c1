"""Files of a user's own, from the command to a trained filter."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedlearn.datasets import load_corpus, load_samples
from scenarios.command.about import flag
from scenarios.command.main import main
from scenarios.command.options import ABOUT

pytestmark = pytest.mark.usefixtures("without_pictures")
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
    assert "note: 2 users are fewer than 3 (--min-cohort): messages are dealt" in said
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
    assert "has all ham and all spam of " in run(mine, "--test-data", str(mine))[1]


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
    assert "1 bad row left out" in said
    assert outcome["rounds"] == 3
    assert "no column 'textt' (did you mean 'text'?)" in run(mine, "--text-column", "textt")[1]
    assert "sample is no file of yours" in run("sample", "--encoding", "utf-8")[1]


def test_standard_input_of_a_real_process(mine, tmp_path):
    command = [sys.executable, "-m", "scenarios.command.main", "run", "spam", "--data", "-", "--rounds", "1"]
    options = ["--protection", "none", "--out", str(tmp_path / "run")]
    done = subprocess.run([*command, *options], input=table().encode(), capture_output=True, check=True)
    assert b"note: standard input: 60 messages" in done.stderr


@pytest.fixture
def data(capsys):
    def go(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["data", *map(str, arguments)])
        return ended.value.code, *capsys.readouterr()

    return go


def test_data_show_tells_what_is_in_a_file(data, mine):
    status, out, _ = data("show", mine)
    assert status == 0
    for part in ("60, 60 distinct", "40 ham, 20 spam", "user ida", "| "):
        assert part in out
    mine.write_text(table() + "egg,x,bob\n")
    assert data("show", mine)[0] == 2
    assert "1 bad row left out" in data("show", mine, "--skip-bad")[1]


def test_data_convert_writes_a_table_that_is_read_back(data, mine, tmp_path):
    mine.write_text('text,kind,user\n"say ""hi""\nto\tmum",letter,bob\n"""quoted""",rubbish,sue\nthe end,letter,bob\n')
    target = tmp_path / "out.tsv"
    assert data("convert", mine, target, "--spam-label", "rubbish", "--label-column", "kind")[0] == 0
    corpus = load_corpus(str(target))
    assert corpus.texts == ('say "hi" to mum', '"quoted"', "the end")
    assert corpus.labels.tolist() == [0, 1, 0]
    assert corpus.users == ("bob", "sue", "bob")
    status, _, err = data("convert", mine, target, "--spam-label", "rubbish", "--label-column", "kind")
    assert (status, err.count("\n")) == (2, 1)
    assert "exists" in err
    assert data("convert", mine, tmp_path / "no" / "where", "--label-column", "kind", "--spam-label", "rubbish")[0] == 2


def test_data_convert_writes_numbers_and_texts_that_are_read_back(data, tmp_path):
    arrays, numbers = tmp_path / "a.npz", tmp_path / "numbers.tsv"
    np.savez(arrays, X=np.array([[0.1, 2e-30], [3.5, -4.0], [1 / 3, 7.0]], np.float32), y=np.array(["no", "yes", "no"]))
    assert data("convert", arrays, numbers)[1].startswith(f"{numbers}: 3 rows")
    before, after = load_samples(str(arrays)), load_samples(str(numbers))
    assert after.features.tobytes() == before.features.tobytes()
    assert (after.labels.tolist(), after.class_names) == ([0, 1, 0], ("no", "yes"))
    play = tmp_path / "play.txt.gz"
    play.write_bytes(gzip.compress("OTTO: Is it late, Ida?\r\nIDA: It is.\r\n".encode("utf-16")))
    status, _, err = data("convert", play, tmp_path / "play.tsv")
    assert (status, err.count("\n")) == (2, 1)
    assert "is a text" in err
    assert not (tmp_path / "play.tsv").exists()
    assert data("convert", play, tmp_path / "play.txt")[0] == 0
    assert (tmp_path / "play.txt").read_bytes() == b"OTTO: Is it late, Ida?\nIDA: It is.\n"
    pipe = subprocess.run(
        [sys.executable, "-m", "fedlearn", "data", "show", "-"],
        input=play.read_bytes(),
        capture_output=True,
        check=True,
    )
    assert b"speakers           2" in pipe.stdout


def test_numbers_and_texts_have_their_options(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    rows = [f"{'ab'[i % 2]},{rng.normal(300 * (i % 2), 50)},{rng.normal()}" for i in range(80)]
    Path("numbers.csv").write_text("kind,x,y\n" + "\n".join(rows))
    arguments = ["--data", "numbers.csv", "--label-column", "kind", "--clients", "8", "--rounds", "5", "--json"]
    with pytest.raises(SystemExit):
        main(["run", "digits", *arguments, "--test-fraction", "0.25"])
    out, err = capsys.readouterr()
    assert "80 rows of 2 features in 2 classes; 60 to train, 20 to test; classes a, b; columns scaled" in err
    assert json.loads(out)["metrics"]["accuracy"] > 0.9
    Path("play.txt").write_bytes(b"BOB:\nGr\xfc\xdf dich\n\nSUE:\nGr\xfc\xdf Gott\n\n" * 60)
    with pytest.raises(SystemExit) as ended:
        main(
            ["run", "shakespeare", "--data", "play.txt", "--encoding", "latin-1", "--test-fraction", "0.3",
             "--rounds", "1", "--protection", "none", "--dim", "4"]
        )  # fmt: skip
    assert ended.value.code == 0
    assert "1,920 characters; 1,344 to train, 576 to test; read as latin-1" in capsys.readouterr().err


def test_the_page_on_own_data_is_true(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "your-own-data.md").read_text(encoding="utf-8")
    program, estimator = (block.split("```")[0] for block in page.split("```python\n")[1:])
    monkeypatch.chdir(tmp_path)
    Path("mail.csv").write_text(table(spam="junk"))
    found: dict = {}
    exec(program, found)
    assert (len(found["train"]), len(found["test"])) == (45, 15)
    pytest.importorskip("sklearn", reason="pip install 'fedlearn[datasets]'")
    exec(estimator, found)
    assert found["mine"].score(found["texts"], found["labels"]) > 0.9
    assert set(re.findall(r"`(--[a-z-]+)", page)) <= {flag(name) for name in ABOUT}
