"""--from: training goes on from a trained model, with its vocabulary, classes and scale, and with none other."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import fedlearn
from fedlearn.errors import BadInput
from fedlearn.modelfile import weights_in
from tests.described import description
from tests.scenarios.command import fedlearn as command
from tests.scenarios.command import last_json, last_of_each
from tests.scenarios.test_evaluating import numbers

pytestmark = pytest.mark.usefixtures("without_pictures")
PLAIN = ["--protection", "none", "--quiet", "--json"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def spam(*options: str, out: str = "first") -> int:
    return command("run", "spam", *last_of_each(*PLAIN, "--rounds", "2", "--out", out, *options))


def weights(run: str) -> np.ndarray:
    return fedlearn.load(run).model.vector


def test_training_goes_on_where_it_ended(capsys):
    assert spam("--vocabulary", "hashed:256") == 0
    first = last_json(capsys)["metrics"]["loss"]
    assert spam("--from", "first", "--lr", "1e-12", out="still") == 0
    assert np.allclose(weights("still"), weights("first"), atol=1e-5)
    assert spam("--from", "first/model.safetensors", out="second") == 0
    assert last_json(capsys)["metrics"]["loss"] < first
    run = json.loads(Path("second/run.json").read_text())
    assert run["configuration"]["from"] == "first/model.safetensors"
    assert len(run["configuration"]["from_sha256"]) == 64
    assert description("second")["vocabulary"] == {"kind": "hashed", "buckets": 256}


def test_a_run_that_goes_on_is_repeated_and_resumed_as_any_other(capsys):
    assert spam("--vocabulary", "hashed:256") == 0
    assert spam("--from", "first", out="second") == 0
    assert command("run", "--config", "second/run.toml", "--out", "third", "--quiet") == 0
    assert np.array_equal(weights("second"), weights("third"))
    assert spam("--from", "first", "--rounds", "4", out="whole") == 0
    assert command("run", "--resume", "second", "--rounds", "4", "--quiet") == 0
    assert np.array_equal(weights("second"), weights("whole"))
    Path("first/model.safetensors").write_bytes(Path("whole/model.safetensors").read_bytes())
    assert command("run", "--resume", "third", "--rounds", "4", "--quiet") == 2
    assert "from_sha256" in capsys.readouterr().err


def test_another_pool_and_protection_give_the_same_model():
    assert spam("--vocabulary", "hashed:64") == 0
    assert spam("--from", "first", out="plain") == 0
    hidden = ["--protection", "paillier", "--key-bits", "512", "--insecure-test-key", "--pool", "processes"]
    assert spam("--from", "first", *hidden, out="hidden") == 0
    assert np.array_equal(weights("plain"), weights("hidden"))


def test_an_explicit_vocabulary_needs_no_file_any_more(capsys):
    Path("words").write_text("win\nprize\nhello\nnine\n")
    assert spam("--vocabulary", "explicit:words") == 0
    Path("words").unlink()
    assert spam("--from", "first", out="second") == 0
    assert len(weights("second")) == 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--from", "nowhere"], "nowhere does not exist: give the folder of a finished run"),
        (["--from", "."], "cannot read model.safetensors (No such file or directory)"),
        (["--from", "first", "--vocabulary", "hashed:8"], "--vocabulary hashed:8: the model of --from first is hashed"),
        (["--from", "first", "--dim", "2"], "--dim 2: the model of --from first is of another width"),
        (["--from", "first", "--model", "sequence"], "--model sequence: the model of --from first is SpamClassifier"),
        (["--from", "play"], "reads a text"),
        (["--from", "flowers"], "reads rows of numbers"),
        (["--from", "first", "--labels", "a,b", "--data", "own.csv"], "tells apart ham, spam, the data a, b"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_line(options, says, capsys):
    Path("own.csv").write_text(
        "label,text\n" + "a,hello you\nb,win it\n" * 9 + "".join(f"{'ab'[i % 2]},t{i}\n" for i in range(40))
    )
    Path("mine.csv").write_text(numbers(0))
    assert spam("--vocabulary", "hashed:64") == 0
    if "play" in options:
        play = ["--data", "sample_play", "--rounds", "1", "--clients", "3", "--dim", "4", "--out", "play"]
        assert command("run", "shakespeare", *play, *PLAIN) == 0
    if "flowers" in options:
        assert command("run", "digits", "--data", "mine.csv", "--clients", "3", "--out", "flowers", *PLAIN) == 0
    capsys.readouterr()
    assert spam(*options, out="second") == 2
    assert says in capsys.readouterr().err
    assert not Path("second").exists()


def test_numbers_are_scaled_as_before_and_classes_keep_their_names(capsys):
    Path("mine.csv").write_text(numbers(0))
    only = [line for line in numbers(1).splitlines() if ",c," not in line]
    Path("new.csv").write_text("\n".join(only))
    run = ["run", "digits", *PLAIN, "--clients", "4", "--rounds", "3"]
    assert command(*run, "--data", "mine.csv", "--out", "first") == 0
    assert command(*run, "--data", "new.csv", "--from", "first", "--lr", "1e-12", "--out", "second") == 0
    first, second = map(description, ("first", "second"))
    assert first["scale"] == second["scale"]
    assert second["classes"] == ["a", "b", "c"]
    Path("new.csv").write_text("size,species\n1,a\n2,b\n" * 9)
    assert command(*run, "--data", "new.csv", "--from", "first", "--out", "third") == 2
    Path("new.csv").write_text(numbers(1).replace(",c,", ",d,"))
    assert command(*run, "--data", "new.csv", "--from", "first", "--out", "third") == 2
    assert "class 'd' is none of a, b, c" in capsys.readouterr().err


@pytest.mark.parametrize("value", [float("nan"), -math.inf, 1e300])
def test_rows_that_hold_no_number_have_no_class(value):
    Path("mine.csv").write_text(numbers(0))
    run = ["run", "digits", *PLAIN, "--clients", "4", "--rounds", "1", "--data", "mine.csv", "--out", "first"]
    assert command(*run) == 0
    rows = np.ones((3, 2))
    rows[1, 0] = value
    with pytest.raises(BadInput, match="row 2 holds a number that is missing, infinite or too large"):
        fedlearn.load("first").predict(rows)


def test_a_writer_goes_on_in_its_own_alphabet(caplog):
    play = ["--data", "sample_play", "--rounds", "1", "--clients", "3", "--dim", "4"]
    assert command("run", "shakespeare", *play, *PLAIN, "--out", "first") == 0
    Path("other").write_text("OTTO: Wo ist mein Regenschirm, \u0416?\nIDA: Er steht hinter der T\u00fcr.\n" * 60)
    new = ["--data", "other", "--from", "first", "--rounds", "1"]
    assert command("run", "shakespeare", *new, *PLAIN, "--out", "second") == 0
    assert "characters: a space stands for each" in caplog.text
    first, second = (weights_in(Path(name, "model.safetensors")) for name in ("first", "second"))
    assert {name: array.shape for name, array in first.items()} == {name: array.shape for name, array in second.items()}


def test_a_model_of_ones_own_goes_on_where_it_is_named():
    Path("own.py").write_text("from fedlearn.models import SpamClassifier\nclass Mine(SpamClassifier):\n    pass\n")
    assert spam("--model", "own.py:Mine") == 0
    assert spam("--from", "first", "--model", "own.py:Mine", out="second") == 0
