"""Questions from the command, and the filter that one sum of counted words makes."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import fedlearn
from fedlearn.datasets import load_corpus
from fedlearn.errors import BadInput, ShapeError
from fedlearn.models.bayes import naive_bayes
from tests.scenarios.command import fedlearn as command
from tests.scenarios.command import last_json

pytestmark = pytest.mark.usefixtures("without_pictures")
ROOT = Path(__file__).parents[2]
TEST_KEY = ("--key-bits", "512", "--insecure-test-key")
PROTECTIONS = {"none": (), "masks": (), "paillier": TEST_KEY, "threshold:2/3": TEST_KEY}
SMALL = ("--vocabulary", "hashed:512", "--rounds", "1", "--epochs", "1", "--quiet", "--json")


def table(path, rows) -> str:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return str(path)


def test_counts_by_class_of_a_file_stand_under_the_names_of_its_classes(tmp_path, capsys):
    sample = load_corpus("sample")
    rows = [("text", "label"), *((t, ("ham", "spam")[n]) for t, n in zip(sample.texts, sample.labels, strict=True))]
    data = table(tmp_path / "mail.csv", rows)
    out = ("--out", str(tmp_path / "asked"))
    assert command("ask", "classes", "--data", data, "--protection", "masks", *out, "--json") == 0
    found = last_json(capsys)
    assert found["answer"]["examples"] == {"ham": int((sample.labels == 0).sum()), "spam": int(sample.labels.sum())}
    assert (found["clients"], found["rounds"], found["epsilon"]) == (3, 1, None)
    assert (tmp_path / "asked" / "answer.json").exists()


@pytest.mark.parametrize("clients", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_quantiles_of_the_length_of_messages_are_those_of_all_in_one_place(clients, tmp_path, capsys):
    lengths = [len(text) for text in load_corpus("sample").texts]
    given = ("--clients", str(clients), "--protection", "masks", "--out", str(tmp_path / "asked"), "--json")
    assert command("ask", "quantiles:at=(0.1,0.5)", *given) == 0
    found = last_json(capsys)
    assert found["rounds"] <= 4
    exact = {str(q): float(np.quantile(lengths, q, method="inverted_cdf")) for q in (0.1, 0.5)}
    assert found["answer"]["quantiles"] == exact


def test_a_question_goes_on_with_the_rounds_that_are_missing(tmp_path, capsys):
    asked = ("ask", "quantiles:low=-3,high=3,step=0.01", "--data", "iris", "--protection", "none", "--json")
    assert command(*asked, "--out", str(tmp_path / "asked")) == 0
    whole = last_json(capsys)
    max((tmp_path / "asked" / "checkpoint").glob("round-*")).unlink()  # as if it had ended before its last round
    assert command(*asked, "--resume", str(tmp_path / "asked")) == 0
    again = last_json(capsys)
    assert whole["rounds"] > 1
    assert [again[name] for name in ("answer", "rounds")] == [whole[name] for name in ("answer", "rounds")]
    assert command(*asked, "--resume", str(tmp_path / "asked"), "--seed", "1") == 2
    assert "--seed 1, the run was started with 0" in capsys.readouterr().err


def test_quantiles_outside_of_the_range_say_so(tmp_path, capsys):
    given = ("--protection", "none", "--data", "iris", "--out", str(tmp_path / "asked"))
    assert command("ask", "quantiles:at=(0.1,1.0)", *given) == 0
    shown = capsys.readouterr()
    assert "0.1 not known, 1.0 " in shown.out
    up = json.loads((tmp_path / "asked" / "run.json").read_text())["outcome"]["bytes_up"]  # of three clients
    assert f"bytes of a client  {up // 3:,} up" in shown.out
    assert "not known lies below low=0, or from high=65536 on: ask with other ones" in shown.err


def test_an_answer_in_several_rounds_says_what_all_of_them_cost(tmp_path, capsys):
    given = ("--dp", "epsilon=5,clip=100", "--clients", "10", "--data", "iris", "--out", str(tmp_path / "asked"))
    assert command("ask", "quantiles", *given, "--protection", "masks", "--json") == 0
    found = last_json(capsys)
    assert found["rounds"] > 1
    assert found["epsilon"] == pytest.approx(5, abs=0.01)


def test_an_answer_for_people_says_what_was_asked_and_what_it_cost(tmp_path, capsys):
    given = ("--protection", "none", "--data", "iris", "--out", str(tmp_path / "asked"))
    assert command("ask", "histogram:low=-3,high=3,bins=2", *given) == 0
    said = capsys.readouterr().out
    assert "edges  -3, 0, 3" in said
    assert "clients  3 in the sum, in 1 round" in said


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["classes", "--clients", "2", "--protection", "masks"], "under the minimum of 3"),
        (["classes:most=9", "--protection", "none"], "ask with most="),
        (["words", "--data", "iris"], "query words is about messages, iris holds numbers"),
        (["classes", "--data", "sample_play"], "has no labels, it reads as a text without examples"),
        (["confusion"], "query confusion needs a trained model: give --from RUN"),
        (["quantiles", "--cohort", "3", "--clients", "10"], "asked in 3 rounds, each about the same clients"),
        (["classes", "--protection", " "], "--protection is empty: give a value, or leave it out"),
        (["classes", "--codec", "bits=20,bound=auto"], "compresses updates, counts are exact"),
        (["classes", "--codec", "bits=20,rounding=stochastic"], "compresses updates, counts are exact"),
        (["frequent", "--vocabulary", "hashed:64", "--data", "iris"], "is about messages, iris holds numbers"),
        (["frequent:names=nofile"], "cannot read the word list nofile"),
        (["clases"], "did you mean 'classes'?"),
        (["histogram:width=3"], "has no 'width'"),
        (["classes", "--min-cohort", "2", "--protection", "none"], "--min-cohort 2 has no effect"),
        (["mean", "--dp", "epsilon=1,clip=1", "--clients", "40", "--protection", "masks"], "clips one vector"),
        (["classes", "--dp", "epsilon=1", "--protection", "masks"], "privacy has no clip"),
        (["classes", "--codec", "bits=8,bound=127"], "raise bits in --codec"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_line_and_leaves_nothing(given, named, tmp_path, capsys):
    folder = tmp_path / "asked"
    assert command("ask", *given, "--out", str(folder), "--quiet") == 2
    said = capsys.readouterr().err.strip()
    assert named in said
    assert "\n" not in said
    assert not folder.exists()


REAL = Path(os.environ.get("FEDLEARN_DATA", "/nowhere"))


def of_file(name: str, file: str, spam: str, *options: str):
    absent = not (REAL / file).is_file()
    reason = f"needs {file} under FEDLEARN_DATA"
    return pytest.param((name, *options), spam, marks=pytest.mark.skipif(absent, reason=reason), id=name)


@pytest.mark.parametrize(
    ("data", "spam"),
    [
        pytest.param(("sample",), "win a free prize now", id="sample"),
        of_file("enron", "enron_users.tsv", "cheap pills online, click here"),
        of_file("sms_spam", "SMSSpamCollection.tsv", "win a free prize now", "--clients", "10"),
    ],
)
def test_one_sum_gives_one_filter_under_every_protection_and_it_is_that_of_all_mail(data, spam, tmp_path, capsys):
    digests, accuracies = set(), set()
    for name, key in PROTECTIONS.items():
        out = ("--out", str(tmp_path / name.partition(":")[0]))
        assert command("run", "count_spam", "--data", *data, "--protection", name, *key, *SMALL, *out) == 0
        found = last_json(capsys)
        claims = {claim["name"]: claim["value"] for claim in found["claims"]}
        assert claims["counts_exact"] == 1
        assert found["metrics"]["accuracy"] == pytest.approx(claims["accuracy_multinomialnb"], abs=0.003)
        digests.add(found["model_sha256"])
        accuracies.add(found["metrics"]["accuracy"])
    assert len(digests) == len(accuracies) == 1
    trained = fedlearn.load(tmp_path / "masks")
    assert trained.predict([spam]) == ["spam"]
    first, *_ = trained.explain(spam)
    assert first[1] > 0
    assert command("evaluate", "--run", str(tmp_path / "masks"), "--data", data[0]) == 0
    assert command("inspect", str(tmp_path / "masks")) == 0


@pytest.mark.parametrize(
    ("train", "ask"),
    [
        (["spam", "--model", "sequence", "--vocabulary", "hashed:64", "--epochs", "1"], ["--clients", "4"]),
        (["shakespeare", "--data", "sample_play", "--dim", "8"], ["--data", "sample_play", "--clients", "4"]),
    ],
    ids=["words in order", "characters"],
)
def test_a_model_that_reads_in_order_is_measured_on_data_that_stay_with_their_owners(train, ask, tmp_path, capsys):
    run = ["run", *train, "--rounds", "1", "--protection", "none", "--quiet", "--out", str(tmp_path / "run")]
    assert command(*run) == 0
    given = ["--from", str(tmp_path / "run"), "--protection", "masks", "--json", "--out"]
    capsys.readouterr()
    assert command("ask", "evaluation", *ask, *given, str(tmp_path / "asked")) == 0
    found = last_json(capsys)["answer"]
    rows = np.array([list(row.values()) if isinstance(row, dict) else row for row in found["confusion"].values()])
    assert np.trace(rows) / rows.sum() == found["accuracy"]
    assert 0 < found["worst_tenth"] <= found["accuracy_deciles"]["p90"]
    assert command("ask", "evaluation", "--data", "digits", *given, str(tmp_path / "odd")) == 2
    assert "digits holds features: give data as it was trained on" in capsys.readouterr().err


def test_a_filter_is_made_of_counts_with_noise_and_of_no_counts_there_is_none():
    words, messages = np.array([[3.0, -2.5, 0], [1, 4, 0]]), np.array([4, 5])
    weights = naive_bayes(words, messages).words.weight.numpy().ravel()
    ham, spam = np.array([4, 1, 1]) / 6, np.array([2, 5, 1]) / 8
    assert weights == pytest.approx(np.log(spam / ham), rel=1e-6)
    with pytest.raises(BadInput, match="0 ham and 5 spam messages counted"):
        naive_bayes(words, np.array([-1, 5]))
    with pytest.raises(ShapeError, match="counts of 2 classes"):
        naive_bayes(words[:1], messages)


def questions() -> list[str]:
    return re.findall(r"^\$ fedlearn (ask .*)$", (ROOT / "docs" / "sums.md").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("line", questions())
def test_the_questions_of_the_page_have_answers(line, tmp_path):
    assert command(*shlex.split(line), "--out", str(tmp_path / "asked")) == 0


def test_attacks_on_models_say_that_there_is_none_and_counted_words_reads_the_sum(tmp_path, capsys):
    words = tmp_path / "words"
    words.write_text("free\nprize\nlunch\n", encoding="utf-8")
    folder = ("--out", str(tmp_path / "asked"), "--record", "--vocabulary", f"explicit:{words}")
    assert command("ask", "words", "--protection", "masks", *folder, "--json") == 0
    found = last_json(capsys)["answer"]["words"]
    assert command("attack", "counted_words", "--run", str(tmp_path / "asked"), "--json") == 0
    (finding,) = last_json(capsys)
    assert sum(finding["words"].values()) == found["ham"] + found["spam"] > 0
    for name in ("changed_rows", "labels", "unmix", "span", "linear"):
        assert command("attack", name, "--run", str(tmp_path / "asked")) == 2
        assert "trained no model" in capsys.readouterr().err
    assert command("inspect", str(tmp_path / "asked")) == 0
    assert command("report", str(tmp_path / "asked"), "--out", str(tmp_path / "page.html")) == 0
