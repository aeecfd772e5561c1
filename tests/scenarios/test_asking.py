"""A run's model answers: loaded from its folder, and by the commands."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import fedlearn
from fedlearn.datasets import load_corpus
from fedlearn.datasets.tokens import tokenize
from fedlearn.datasets.vocabulary import ExplicitVocabulary, HashedVocabulary, Vocabulary
from fedlearn.errors import BadInput
from fedlearn.modelfile import WEIGHTS, Described, model_bytes
from fedlearn.models import MLP, SequenceClassifier, SpamClassifier
from fedlearn.trained import Trained
from scenarios.command.main import main
from tests.described import change, describe, description


def command(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("runs") / "spam"
    assert command("run", "spam", "--protection", "none", "--quiet", "--out", where) == 0
    return where


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_a_run_is_loaded_and_judges_texts_as_it_was_measured(folder):
    trained = fedlearn.load(folder)
    sample = load_corpus("sample")
    odds = trained.predict_proba(sample.texts)
    assert odds.shape == (len(sample), 2)
    assert np.allclose(odds.sum(axis=1), 1)
    assert trained.predict(sample.texts) == [trained.classes[n] for n in odds.argmax(axis=1)]
    measured = trained.evaluate(sample)
    assert measured["accuracy"] == float((odds.argmax(axis=1) == sample.labels).mean()) > 0.9
    assert trained.predict([]) == []
    assert np.array_equal(
        fedlearn.load(str(folder / WEIGHTS)).predict_proba(["win a prize"]), trained.predict_proba(["win a prize"])
    )


def test_the_hash_of_a_run_is_that_of_its_models_file(folder):
    outcome = json.loads((folder / "run.json").read_text())["outcome"]
    assert outcome["model_sha256"] == hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()


def test_an_explanation_is_what_each_word_adds(folder):
    trained = fedlearn.load(folder)
    text = "prize money for mum"
    words = dict(trained.explain(text))
    assert set(words) == {"prize", "money", "for", "mum"}
    bias = trained.logits([""])[0, 1]
    assert np.isclose(sum(words.values()) + bias, trained.logits([text])[0, 1], atol=1e-4)  # a linear model
    assert list(words.values()) == sorted(words.values(), reverse=True)


def test_each_class_has_its_words(tmp_path, capsys):
    lines = (f"{('news', 'sport', 'music')[i % 3]},{('vote', 'goal', 'song')[i % 3]} at nine {i}" for i in range(90))
    (tmp_path / "mine.csv").write_text("label,text\n" + "\n".join(lines))
    how = ["--labels", "news,sport,music", "--model", "sequence", "--vocabulary", "hashed:256", "--rounds", "20"]
    run = ["run", "spam", "--data", tmp_path / "mine.csv", *how, "--protection", "none", "--quiet"]
    assert command(*run, "--out", tmp_path / "r") == 0
    capsys.readouterr()
    assert command("predict", "--run", tmp_path / "r", "--explain", "--json", "vote at nine", "goal at nine") == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(answer["label"], answer["words"][0]) for answer in said] == [("news", "vote"), ("sport", "goal")]
    with pytest.raises(BadInput, match="class 'film' is none of news, sport, music"):
        fedlearn.load(tmp_path / "r").explain("goal", "film")


@pytest.mark.parametrize("options", [["--model", "sequence", "--vocabulary", "hashed:64"], ["--dim", "4"]])
def test_other_models_answer_too(tmp_path, options):
    assert (
        command("run", "spam", "--protection", "none", "--rounds", "1", "--quiet", "--out", tmp_path / "r", *options)
        == 0
    )
    trained = fedlearn.load(tmp_path / "r")
    assert trained.predict_proba(["hello", ""]).shape == (2, 2)
    assert len(trained.explain("win a prize")) == 3


@pytest.mark.parametrize(
    "model",
    [
        SpamClassifier(8, rng=np.random.default_rng(0)),
        SpamClassifier(8, 3, rng=np.random.default_rng(1)),
        SequenceClassifier(9, 2, 3, 4, rng=np.random.default_rng(2)),
    ],
)
@pytest.mark.parametrize(
    "vocabulary", [HashedVocabulary(8), ExplicitVocabulary(["win", "a", "free", "prize", "now", "at", "nine", "you"])]
)
def test_an_explanation_is_what_leaving_a_word_out_changes(model, vocabulary):
    model.vector[:] = np.random.default_rng(3).normal(size=model.vector.size)
    trained = Trained(Described("spam", model, ("ham", "spam"), vocabulary, "", None))
    texts = ["win a free prize now, you win", "", "see you at nine", "one two three four five six seven", "win win"]
    asked_for = ["spam", "ham", "ham", "spam", "spam"]
    for text, of, found in zip(texts, asked_for, trained.explain_all(texts, asked_for), strict=True):
        words = dict.fromkeys(tokenize(text))
        left = [" ".join(token for token in tokenize(text) if token != word) for word in words]
        sign = 1 if of == "spam" else -1
        ahead = sign * np.diff(trained.logits([text, *left]), axis=1)[:, 0]
        assert dict(found) == pytest.approx(dict(zip(words, ahead[0] - ahead[1:], strict=True)), abs=1e-6)
        assert [share for _, share in found] == sorted((share for _, share in found), reverse=True)
        assert dict(trained.explain(text, of)) == pytest.approx(dict(found), abs=1e-6)


def test_a_vocabulary_of_ones_own_is_explained_too():
    class Lengths(Vocabulary):
        """Numbers the length of a message, which is no word's own."""

        def __len__(self):
            return 8

        def row(self, tokens):
            return [len(list(tokens))]

        def to_dict(self):
            return {}

    assert Lengths().without_each(["a", "b", "c"]) == [[2], [2], [2]]


def test_what_is_infinite_is_certain_and_what_is_nan_is_refused():
    model = MLP((2, 2))
    model.vector[:] = np.float32([1e30, 0, 0, 1e30, 0, 0])
    trained = Trained(Described("digits", model, ("0", "1"), None, "", None))
    assert trained.predict_proba([[1e10, 1], [1, 1e10], [1e10, 1e10]]).tolist() == [[1, 0], [0, 1], [0.5, 0.5]]
    model = MLP((2, 2, 2))
    model.vector[:] = np.float32([1e30, 1e30, 1e30, 1e30, 0, 0, 1, -1, 1, 1, 0, 0])
    trained = Trained(Described("digits", model, ("0", "1"), None, "", None))
    assert trained.predict([[1, 1]]) == ["1"]
    with pytest.raises(BadInput, match="the model gives nan for some examples, which is no class"):
        trained.predict([[1, 1], [1e10, 1e10]])


ROWS = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS + 1j, "of complex64 is none"),
        (ROWS.astype("M8[s]"), r"of datetime64\[s\] is none"),
        (ROWS.astype(str).tolist(), "a list of <U3 is none"),
        (ROWS.astype(object), r"of object is none: cast it with astype\(float\)"),
        (np.ma.masked_equal(ROWS, 1), "12 masked values"),
        ("abc", "judges rows of numbers"),
        ([[1, 2], [3]], "unequal length"),
        (np.full((1, 4), 1e300), "row 1 holds a number that is missing, infinite or too large"),
        (ROWS[:, :3], "takes 4 columns, the input has 3"),
        (ROWS[0], r"for one row of numbers give \[row\]"),
    ],
)
def test_a_model_of_numbers_judges_nothing_else(rows, said):
    trained = Trained(Described("digits", MLP((4, 2)), ("0", "1"), None, "", None))
    assert trained.predict(ROWS) == trained.predict(ROWS.astype(int).tolist())
    assert trained.predict([]) == []
    with pytest.raises(BadInput, match=said):
        trained.predict(rows)


def test_a_model_of_characters_writes(tmp_path, capsys):
    arguments = ["--data", "sample_play", "--protection", "none", "--rounds", "1", "--clients", "3", "--dim", "4"]
    assert command("run", "shakespeare", *arguments, "--quiet", "--out", tmp_path / "r") == 0
    capsys.readouterr()
    assert command("generate", "--run", tmp_path / "r", "--prompt", "The ", "--length", "20") == 0
    said = capsys.readouterr().out
    assert said.startswith("The ")
    assert len(said) == len("The ") + 20 + 1
    with pytest.raises(BadInput, match="does not judge texts"):
        fedlearn.load(tmp_path / "r").predict(["a"])
    assert command("generate", "--run", tmp_path / "r", "--prompt", "\u0416") == 2
    with pytest.raises(BadInput, match="the prompt is empty"):
        fedlearn.load(tmp_path / "r").generate("")


def test_texts_are_asked_about_as_arguments_in_a_file_and_on_standard_input(folder, tmp_path, capsys, monkeypatch):
    texts = ["win a prize now", "see you at nine"]
    (tmp_path / "texts").write_bytes("\r\n".join(texts).encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(texts).encode() + b"\n")))
    said = []
    for given in (texts, ["--file", tmp_path / "texts"], []):
        assert command("predict", "--run", folder, *given) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] == said[2]
    assert [line.split("\t")[0] for line in said[0].splitlines()] == fedlearn.load(folder).predict(texts)
    assert command("predict", "--run", folder, "win a prize now", "--json", "--explain") == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"label", "probability", "text", "words"}
    assert command("predict", "--run", folder, "a", "--file", tmp_path / "texts") == 2


def diverged(folder: Path) -> None:
    nan = {"words.weight": np.full((16384, 1), np.nan)}
    (folder / WEIGHTS).write_bytes(model_bytes(nan, json.dumps(description(folder)).encode()))


def spec(*arguments: int) -> dict:
    return {"class": "fedlearn.models.spam:SpamClassifier", "args": list(arguments), "kwargs": {}}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: describe(f, ""),
            "holds weights alone, as a run from Python keeps them, and not their model, vocabulary and classes",
        ),
        (lambda f: (f / WEIGHTS).unlink(), "cannot read .*model.safetensors .No such file"),
        (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-100]), "no whole safetensors file"),
        (lambda f: (f / WEIGHTS).write_bytes(b"\x80\x04\x95cos\nsystem\n"), "no whole safetensors file"),
        (lambda f: describe(f, "{"), "what it says of itself cannot be read"),
        (lambda f: change(f, classes=None), "something is missing in it"),
        (lambda f: change(f, format=True), "something is missing in it"),
        (lambda f: change(f, classes=["ham", {}]), "a name in it is no text"),
        (lambda f: change(f, classes=["ham"]), "has not two classes or more, each once"),
        (lambda f: change(f, classes=["ham", "ham"]), "has not two classes or more, each once"),
        (lambda f: change(f, vocabulary={}), "has not a vocabulary, which a SpamClassifier needs"),
        (lambda f: change(f, scale={"mean": [1], "deviation": [0]}), "is no mean and deviation of each column"),
        (lambda f: describe(f, "[" * 10**5), "what it says of itself cannot be read"),
        (lambda f: change(f, model=spec(10**9)), "is more than there are weights for"),
        (lambda f: change(f, model=spec(64, 10**8)), "is more than there are weights for"),
        (lambda f: diverged(f), "are not finite"),
        (lambda f: change(f, format=2), "is of format 2, this program reads 1"),
        (lambda f: change(f, tokens=1), "words were made by rules 1, this program has 2: train once more"),
        (
            lambda f: change(f, vocabulary={"kind": "hashed", "buckets": 7}),
            "vocabulary of 7 words, its model one of 16384",
        ),
        (lambda f: change(f, model={"class": "os:system", "args": ["true"], "kwargs": {}}), "os"),
        (lambda f: change(f, model={"class": "fedlearn.nn:Linear", "args": [2, 2], "kwargs": {}}), "is no model"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(copy, damage, message, capsys):
    damage(copy)
    with pytest.raises(BadInput, match=message):
        fedlearn.load(copy)
    assert command("predict", "--run", copy, "hello") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_is_shown_leaves_the_terminal_alone(copy, capsys, monkeypatch):
    change(copy, classes=["\x1b[31mham", "spam"])
    assert command("predict", "--run", copy, "a\x1b[2Jb \udcff", "c\u200dd") == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\\x1b[2Jb" in said
    assert "c\u200dd" in said
    said.encode()
    change(copy, scenario="\x1b[31mspam\nfedlearn: all is well")
    assert command("generate", "--run", copy) == 2
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert error.count("\n") == 1


def test_an_empty_text_is_a_slip_and_an_empty_line_is_a_text(folder, tmp_path, capsys, monkeypatch):
    assert command("predict", "--run", folder, "hello", "") == 2
    assert capsys.readouterr().err == "fedlearn: a text is empty: give one with words in it\n"
    for said, answers in ((b"", 0), (b"\n", 1), (b"hello\n\nhi", 3)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said)))
        assert command("predict", "--run", folder) == 0
        assert capsys.readouterr().out.count("\n") == answers


def test_no_text_is_no_answer_and_a_folder_is_no_text(folder, tmp_path, capsys):
    (tmp_path / "empty").touch()
    assert command("predict", "--run", folder, "--file", tmp_path / "empty") == 0
    assert capsys.readouterr().out == ""
    assert command("predict", "--run", folder, "--file", folder) == 2
    assert "holds files that are no mail, as " in capsys.readouterr().err


def test_what_is_left_out_or_guessed_of_a_file_of_texts_is_told(folder, tmp_path, capsys):
    rows = "art;gesagt\na;schöner Preis\nb\nb;bis um neun\na;bis um zehn\nb;jetzt gewinnen\n"
    (tmp_path / "new.csv").write_bytes(rows.encode("cp1252"))
    assert command("predict", "--run", folder, "--file", tmp_path / "new.csv", "--skip-bad") == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 4
    *_, column, encoding, left_out = said.err.splitlines()
    assert column.endswith("new.csv: text in gesagt")
    assert encoding.endswith("new.csv: read as cp1252, a guess: give --encoding NAME if letters are wrong")
    assert left_out.endswith("1 bad row left out (line 3: 1 field where line 1 names 2)")
    for name, text in {"a.txt": "win a prize now", "b.txt": "see you at nine", "c.txt": ""}.items():
        (tmp_path / "notes" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "notes" / name).write_text(text)
    (tmp_path / "notes" / "table_of_contents").write_bytes(b"\0\1\2")  # as Apple Mail has beside a mailbox
    assert command("predict", "--run", folder, "--file", tmp_path / "notes") == 0
    said = capsys.readouterr()
    assert [line.split("\t")[2] for line in said.out.splitlines()] == ["win a prize now", "see you at nine"]
    assert [note.split(": ")[-1] for note in said.err.splitlines()] == ["1 binary file", "1 empty file"]


@pytest.mark.parametrize(
    ("name", "table", "options"),
    [
        ("new.csv", "text,label\n{0},spam\n{1},ham\n", []),
        ("new.csv", "text\n{0}\n{1}\n", []),
        ("new.CSV", "kind;said\n1;{0}\n2;{1}\n", ["--text-column", "said"]),
        ("new.tsv", "note\tsaid\n{0}\twhat\n{1}\tis\n", ["--text-column", "note"]),
        ("new", "kind,said\n1,{0}\n2,{1}\n", ["--text-column", "said"]),
        ("new.jsonl", '{{"body": "{0}", "n": 1}}\n{{"body": "{1}", "n": 2}}\n', []),
    ],
)
def test_the_texts_of_a_table_are_asked_about_as_training_reads_them(name, table, options, folder, tmp_path, capsys):
    texts = ["win a prize now", "see you at nine"]
    (tmp_path / name).write_text(table.format(*texts))
    assert command("predict", "--run", folder, "--file", tmp_path / name, *options) == 0
    assert [line.split("\t")[2] for line in capsys.readouterr().out.splitlines()] == texts


def test_a_table_without_a_column_of_texts_names_its_columns(folder, tmp_path, capsys):
    (tmp_path / "new.csv").write_text("one,two\nsome words here,more words here\nand here too,and here too\n")
    assert command("predict", "--run", folder, "--file", tmp_path / "new.csv") == 2
    assert "which column is the text is not clear: the columns are" in (said := capsys.readouterr().err)
    assert "give --text-column NAME" in said
    assert command("predict", "--run", folder, "--file", tmp_path / "new.csv", "--text-column", "tow") == 2
    assert "for --text-column" in capsys.readouterr().err
    assert command("predict", "--run", folder, "a text", "--text-column", "two") == 2
    assert "--text-column two has no effect on typed texts" in capsys.readouterr().err
    assert command("predict", "--run", folder, "a text", "--encoding", "utf-8") == 2
    assert "--encoding utf-8 has no effect on typed texts" in capsys.readouterr().err
    assert command("predict", "--run", folder, "a text", "--skip-bad") == 2
    assert "--skip-bad has no effect on typed texts" in capsys.readouterr().err


def test_mail_is_asked_about_as_mail(folder, tmp_path, capsys):
    mail = "From: a@b.example\nTo: c@d.example\nSubject: =?utf-8?q?win_a_prize?=\n\nclaim your cash now\n"
    letter = mail.replace("=?utf-8?q?win_a_prize?=", "tomorrow").replace("claim your cash now", "see you at nine")
    for name, text in {"new/1.eml": mail, "new/2.eml": letter}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "box").write_text("".join(f"From a@b Fri Nov  6 09:00:00 2026\n{text}\n" for text in (mail, letter)))
    for place, answers in {"new/1.eml": 1, "new": 2, "box": 2}.items():
        assert command("predict", "--run", folder, "--file", tmp_path / place) == 0
        said = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        assert [line[2] for line in said] == ["win a prize", "tomorrow"][:answers]
        assert [line[0] for line in said] == ["spam", "ham"][:answers]


def test_a_text_where_a_list_is_meant_is_refused(folder):
    with pytest.raises(BadInput, match="a list of texts is meant"):
        fedlearn.load(folder).predict("win")
    with pytest.raises(BadInput, match="does not write"):
        fedlearn.load(folder).generate("a")
