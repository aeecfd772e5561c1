"""The books' systems, in small: each scenario's own claims, its pictures, and what it leaves behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedlearn.datasets import DATASETS
from fedlearn.errors import BadInput, DataError
from scenarios import SCENARIOS
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome
from tests.scenarios.command import fedlearn

WORDS = "the cat sees the dog and the dog sees the cat\n"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(name: str, **options) -> Outcome:
    return SCENARIOS.load(name)(Options(**options))


def claims(outcome: Outcome) -> dict[str, float]:
    return {claim.name: claim.value for claim in outcome.claims}


def kept(outcome: Outcome) -> dict:
    return json.loads((outcome.run_dir / "run.json").read_text())


def assert_pictures(outcome: Outcome, *names: str) -> None:
    for name in names:
        assert (outcome.run_dir / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (outcome.run_dir / f"{name}.svg").read_text()[:1000]
        assert f"{name}.png" in outcome.story


def test_autograd_answers_every_question_and_its_toys_learn():
    found = claims(run("book_autograd", epochs=6))
    assert found["sin_x1_plus_x1_x2"] == pytest.approx(10.9092974)
    assert (found["slope_by_x1"], found["slope_by_x2"]) == (pytest.approx(4.5838532), 2)
    assert found["slope_of_4a_plus_4a"] == 8
    assert found["slope_of_product"] == 35
    assert found["row_selected_twice"] == 2
    assert found["gradient_of_2_losses"] == pytest.approx(2)
    assert found["slope_of_chain"] == 1
    assert found["error_of_lstm"] < 1e-8
    assert found["error_of_gru"] < 1e-8
    assert found["wrong_answers"] == 0
    assert found["toys_that_learn"] == 4
    assert found["sentence_accuracy"] > 0.6  # 0.25 without the name that stands four words back


def test_gradients_are_what_small_steps_measure():
    outcome = run("book_gradient_check")
    found = claims(outcome)
    assert found["largest_first_order_error"] < 1e-6
    assert found["largest_second_order_error"] < 1e-6
    assert found["mixed_loss_mismatch"] > 0.1
    assert_pictures(outcome, "steps")


def test_a_wrong_gradient_is_measured_as_wrong():
    import numpy as np

    from fedlearn import Tensor
    from scenarios.book_gradient_check import worst_error

    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)

    def half_detached() -> Tensor:
        return (x * x.detach()).sum()  # its gradient forgets one of the two factors

    assert worst_error(half_detached, [x], np.random.default_rng(0)) > 0.1
    assert x.numpy().tolist() == [1.0, 2.0]


def test_the_spiral_needs_a_rate_that_fits_its_momentum():
    outcome = run("book_spirals", epochs=120)
    found = claims(outcome)
    assert found["first_loss"] == pytest.approx(1.0986, abs=0.1)
    assert found["accuracy"] > 0.98
    assert found["accuracy_at_rate_1"] < 0.7
    assert found["accuracy_without_velocity"] > 0.95
    assert_pictures(outcome, "boundary")


def test_digits_from_squared_error_to_convolution():
    outcome = run("book_digits", epochs=15)
    found = claims(outcome)
    assert found["squared_error"] < found["cross_entropy"] < found["momentum"]
    assert min(found["momentum"], found["dropout"], found["convolution"]) > 0.93
    assert_pictures(outcome, "accuracy", "misread")
    assert "not MNIST" in outcome.story


def test_words_of_one_kind_come_together():
    outcome = run("book_words", epochs=1)
    found = claims(outcome)
    assert found["neighbours_of_one_kind"] > 10 * found["neighbours_of_one_kind_by_chance"]
    assert_pictures(outcome, "words")
    assert kept(outcome)["data_set"]["synthetic"] is True


def test_words_of_your_own_text_but_not_of_private_mail(tmp_path):
    Path("mine.txt").write_text((WORDS + "a bird and a fox see a cat and a dog\n\n") * 20)
    assert "near the: " in run("book_words", data="mine.txt", epochs=1).story
    Path("short.txt").write_text(WORDS)
    with pytest.raises(DataError, match=r"short\.txt has"):
        run("book_words", data="short.txt")
    with pytest.raises(BadInput, match="private"):
        run("book_words", data="enron")


def test_three_recurrent_networks_learn_one_text():
    Path("mine.txt").write_text(WORDS * 200)
    outcome = run("book_shakespeare", data="mine.txt", dim=24, epochs=3)
    found = claims(outcome)
    for cell in ("rnn", "gru", "lstm"):
        assert found[f"{cell}_nats"] < 1.5  # 2.4 by letter frequencies
    assert_pictures(outcome, "losses")
    assert "at 0.5" in outcome.story
    assert outcome.metrics["loss"] == min(found[f"{cell}_nats"] for cell in ("rnn", "gru", "lstm"))


def test_without_the_books_file_the_text_is_announced_as_synthetic(monkeypatch, caplog):
    monkeypatch.delenv("FEDLEARN_DATA", raising=False)
    outcome = run("book_shakespeare", dim=8, epochs=1)
    assert "synthetic" in caplog.text
    assert "synthetic" in outcome.story
    assert kept(outcome)["data_set"] == kept(outcome)["data_set"] | {"name": "sample_play", "synthetic": True}


def test_the_books_text_where_it_is_at_hand():
    if not DATASETS.load("trask").path().is_file():
        pytest.skip("trask is not at hand: `fedlearn data fetch trask`")
    outcome = run("book_shakespeare", dim=48, epochs=1)
    assert kept(outcome)["configuration"]["data"] == "trask"
    assert max(claims(outcome)[f"{cell}_nats"] for cell in ("rnn", "gru", "lstm")) < 2.7  # 3.3 by letter frequencies


def test_messages_judged_by_the_last_state():
    outcome = run("book_sentiment", epochs=2)
    found = claims(outcome)
    assert found["accuracy"] > found["majority_accuracy"] + 0.2
    assert_pictures(outcome, "accuracy")


def test_a_story_is_the_same_bits_for_a_seed_and_others_for_another():
    first, again, other = (
        run("book_spirals", epochs=2, seed=seed, out=Path(f"run{i}")) for i, seed in enumerate((4, 4, 5))
    )
    assert first.model_sha256 == again.model_sha256 != other.model_sha256
    assert (first.run_dir / "boundary.png").read_bytes() == (again.run_dir / "boundary.png").read_bytes()
    assert (first.run_dir / "boundary.svg").read_bytes() == (again.run_dir / "boundary.svg").read_bytes()
    assert kept(first)["outcome"]["claims"] == claims(first)
    assert kept(first)["outcome"]["state"] == "done"


def test_without_matplotlib_a_story_goes_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    outcome = run("book_spirals", epochs=1)
    assert "no picture was drawn" in outcome.story
    assert not list(outcome.run_dir.glob("*.png"))


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("book_spirals", {"clients": 3}, "--clients 3"),
        ("book_spirals", {"protection": "paillier"}, "--protection paillier"),
        ("book_gradient_check", {"data": "digits"}, "--data digits"),
        ("book_spirals", {"lr": -1.0}, "lr is -1.0"),
        ("book_spirals", {"epochs": 0}, "epochs is 0"),
        ("book_shakespeare", {"data": "sample"}, "sample is for ham/spam"),
        ("book_sentiment", {"data": "trask"}, "trask is for characters"),
    ],
)
def test_bad_input_is_refused_and_leaves_no_folder(name, options, says, tmp_path):
    with pytest.raises(BadInput, match=says):
        run(name, **options)
    assert not list(tmp_path.glob("runs/*"))


def test_a_figure_that_is_a_metric_too_is_shown_once(capsys):
    assert fedlearn("run", "book_spirals", "--epochs", "1", "--quiet") == 0
    names = [line.split("  ")[0] for line in (row.strip() for row in capsys.readouterr().out.splitlines())]
    assert names.count("accuracy") == names.count("accuracy_at_rate_1") == 1


def test_python_m_is_the_same_command(tmp_path):
    command = [sys.executable, "-m", "scenarios.book_spirals", "--epochs", "1", "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["scenario"] == "book_spirals"
    assert {"accuracy", "first_loss"} <= {claim["name"] for claim in result["claims"]}
