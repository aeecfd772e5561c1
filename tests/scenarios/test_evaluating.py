"""`fedlearn evaluate`: what a model takes for what, and for whom, on data of every kind that a model reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fedlearn
from fedlearn.datasets import load_corpus
from tests.scenarios.command import fedlearn as command
from tests.scenarios.command import last_json

MAIL = "kind,words,whose\njunk,win a prize now,bob\nletter,see you at nine,sue\njunk,claim your cash,sue\n"
COLUMNS = ("--text-column", "words", "--label-column", "kind", "--user-column", "whose", "--spam-label", "junk")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    where = str(tmp_path_factory.mktemp("runs") / "spam")
    assert command("run", "spam", "--protection", "none", "--quiet", "--out", where) == 0
    return where


def numbers(first: int, count: int = 60) -> str:
    """Three kinds of flowers that differ in one of two columns."""
    rng = np.random.default_rng(first)
    rows = (f"{rng.normal(100 * (i % 3), 5):.3f},{rng.normal():.3f},{'abc'[i % 3]},u{i % 2}" for i in range(count))
    return "size,noise,species,user\n" + "\n".join(rows) + "\n"


def test_files_are_read_as_the_options_say(folder, tmp_path, capsys):
    mail = tmp_path / "mail.csv"
    mail.write_text(MAIL)
    assert command("evaluate", "--run", folder, "--data", str(mail)) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert command("evaluate", "--run", folder, "--data", str(mail), *COLUMNS, "--json") == 0
    found = last_json(capsys)
    assert set(found) == {"examples", "loss", "accuracy", "f1", "confusion", "users"}
    assert {name: of["examples"] for name, of in found["users"].items()} == {"bob": 1, "sue": 2}
    mail.write_text(MAIL + "junk\n")
    assert command("evaluate", "--run", folder, "--data", str(mail), *COLUMNS) == 2
    assert command("evaluate", "--run", folder, "--data", str(mail), *COLUMNS, "--skip-bad") == 0
    assert "note: " in capsys.readouterr().err


def test_the_confusion_is_what_predict_says(folder):
    trained, sample = fedlearn.load(folder), load_corpus("sample")
    said, labels = trained.predict(sample.texts), [sample.classes[label] for label in sample.labels]
    found = trained.evaluate(sample)
    for of in sample.classes:
        for taken in sample.classes:
            count = sum(1 for was, now in zip(labels, said, strict=True) if (was, now) == (of, taken))
            assert found["confusion"][of][taken] == count
    hits, wrong = found["confusion"]["spam"]["spam"], sum(was != now for was, now in zip(labels, said, strict=True))
    assert np.isclose(found["f1"], 2 * hits / (2 * hits + wrong))
    assert found["accuracy"] == 1 - wrong / len(labels)
    assert sum(of["examples"] for of in found["users"].values()) == found["examples"] == 3000
    nina = [i for i, user in enumerate(sample.users or ()) if user == "nina"]
    alone = trained.evaluate(sample.take(nina))
    assert found["users"]["nina"].items() <= alone.items()


def test_people_see_tables_and_are_told_what_the_model_has_seen(folder, capsys):
    assert command("evaluate", "--run", folder, "--data", "sample") == 0
    shown = capsys.readouterr()
    assert "taken for spam" in shown.out
    assert [line.split()[0] for line in shown.out.splitlines()[-6:]] == ["alice", "bob", "nina", "omar", "sue", "tom"]
    assert "note: the model was trained on a part of sample" in shown.err


def test_of_many_users_those_are_shown_who_are_served_worst(folder, tmp_path, capsys):
    rows = [f"spam,{'win a prize' if i % 2 else 'see you'} {i},u{i}" for i in range(50)] + ["ham,see you,u0"]
    (tmp_path / "many.csv").write_text("label,text,user\n" + "\n".join(rows))
    assert command("evaluate", "--run", folder, "--data", str(tmp_path / "many.csv")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "and 30 users with no lower accuracy; --json has all"
    assert [line.split()[2] for line in lines[-21:-2]] == ["0.0000"] * 19


def test_numbers_are_judged_as_they_stand_in_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, first in (("mine.csv", 0), ("exam.csv", 1)):
        Path(name).write_text(numbers(first))
    arguments = ["--clients", "6", "--partition", "iid", "--rounds", "10", "--epochs", "5", "--quiet", "--out", "run"]
    assert command("run", "digits", "--data", "mine.csv", "--test-data", "exam.csv", *arguments) == 0
    capsys.readouterr()
    assert command("evaluate", "--run", "run", "--data", "exam.csv", "--json") == 0
    found, outcome = last_json(capsys), json.loads(Path("run/run.json").read_text())["outcome"]
    assert found["accuracy"] == outcome["metrics"]["accuracy"] > 0.9
    assert list(found["confusion"]) == ["a", "b", "c"]
    assert set(found["users"]) == {"u0", "u1"}
    assert command("predict", "--run", "run", "0,0", "100.0; 0.1", "200 0") == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == ["a", "b", "c"]
    assert fedlearn.load("run").predict(np.array([[0, 0], [200, 0]])) == ["a", "c"]
    Path("none").touch()
    assert command("predict", "--run", "run", "--file", "none") == 0
    assert command("predict", "--run", "run", "0,0", "--explain") == 2
    assert "only texts can be explained" in capsys.readouterr().err
    for wrong in ("1", "1,2,3", "one,two", ""):
        assert command("predict", "--run", "run", wrong) == 2
    assert command("predict", "--run", "run", "1,2", "3") == 2
    assert command("evaluate", "--run", "run", "--data", "iris") == 2
    assert capsys.readouterr().err.count("\n") == 6


def test_a_bundled_set_is_asked_about_as_scikit_learn_has_it(tmp_path, capsys, monkeypatch):
    datasets = pytest.importorskip("sklearn.datasets", reason="pip install 'fedlearn[datasets]'")
    monkeypatch.chdir(tmp_path)
    arguments = ["--clients", "5", "--rounds", "20", "--epochs", "5", "--quiet"]
    assert command("run", "digits", "--data", "wine", *arguments, "--out", "run") == 0
    raw = datasets.load_wine()
    said = fedlearn.load("run").predict(raw.data)
    assert np.mean([int(name) == label for name, label in zip(said, raw.target, strict=True)]) > 0.9
    assert command("predict", "--run", "run", "1, 2, 3") == 2
    assert "rows of 3 numbers where 13 are read" in capsys.readouterr().err
    Path("narrow.csv").write_text(numbers(0))
    for command_line in (["evaluate", "--run", "run"], ["run", "digits", "--from", "run", "--out", "more"]):
        assert command(*command_line, "--data", "narrow.csv") == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_model_file_says_how_it_was_trained(folder):
    trained = fedlearn.load(folder).about.trained
    assert trained == {"rounds": 10, "clients": 3, "seed": 0}


def test_rows_to_train_on_and_to_measure_with_are_kept_apart(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text(numbers(0))
    Path("both.csv").write_text(numbers(1) + numbers(0).splitlines()[1] + "\n")
    Path("narrow.csv").write_text("size,species\n1,a\n2,b\n3,c\n")
    run = ["run", "digits", "--data", "mine.csv", "--clients", "6", "--out", "run", "--test-data"]
    assert command(*run, "both.csv") == 2
    assert "mine.csv has 1 row of both.csv too: take" in capsys.readouterr().err
    assert command(*run, "narrow.csv") == 2
    assert "narrow.csv has 1 feature and mine.csv 2" in capsys.readouterr().err
    assert command(*run, "mine.csv", "--test-fraction", "0.5") == 2
    assert "give one of the two" in capsys.readouterr().err
    assert not Path("run").exists()


def test_a_text_is_measured_in_nats_per_character(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--data", "sample_play", "--protection", "none", "--rounds", "1", "--clients", "3", "--dim", "4"]
    assert command("run", "shakespeare", *arguments, "--quiet", "--out", "run") == 0
    Path("text").write_text("What is this? \u0416\n" * 9)
    capsys.readouterr()
    assert command("evaluate", "--run", "run", "--data", "text", "--json") == 0
    found = last_json(capsys)
    assert found["unknown characters"] == 9
    assert np.isclose(found["perplexity"], np.exp(found["loss"]))


def test_a_model_of_ones_own_answers_where_it_is_trusted(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(
        "from fedlearn.models import SpamClassifier\nclass Mine(SpamClassifier):\n    stackable = True\n"
    )
    run = ["run", "spam", "--model", "own.py:Mine", "--rounds", "1", "--protection", "none", "--quiet", "--out", "run"]
    assert command(*run) == 0
    capsys.readouterr()
    assert command("evaluate", "--run", "run", "--data", "sample", "--trust", "own.py") == 0
    assert command("predict", "--run", "run", "win", "--trust", "nothing.py") == 2
