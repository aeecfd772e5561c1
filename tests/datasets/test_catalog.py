from __future__ import annotations

import json

import numpy as np
import pytest

from fedlearn.datasets import DATASETS, Reading
from fedlearn.datasets.catalog import rows, show
from fedlearn.errors import DataError


def test_the_list_says_what_is_there_and_where(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDLEARN_DATA", str(tmp_path))
    (tmp_path / "enron_users.tsv").touch()
    where = {row.name: row.where for row in rows()}
    assert set(where) == set(DATASETS.entries)
    assert where["sample"] == "built in"
    assert where["enron"] == str(tmp_path / "enron_users.tsv")
    assert where["sms_spam"] == f"not found: {tmp_path / 'SMSSpamCollection.tsv'}"
    monkeypatch.delenv("FEDLEARN_DATA")
    assert {row.name: row.where for row in rows()}["enron"] == "not found: $FEDLEARN_DATA/enron_users.tsv"


def test_messages_are_counted_by_class_and_user(tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text("label\ttext\tuser\nham\tHi hi!\tsue\nspam\tbuy\tbob\nspam\tbuy\tsue\n")
    found = show(str(path))
    assert found.facts == {
        "messages": "3, 2 distinct",
        "classes": "1 ham, 2 spam",
        "words": "5, 3 distinct",
        "user bob": "0 ham, 1 spam",
        "user sue": "1 ham, 1 spam",
    }
    assert found.first == ("Hi hi!", "buy", "buy")


def test_other_kinds_are_described_too():
    spirals = show("spirals")
    assert spirals.facts == {"examples": "300 of 2 features", "classes": "0: 100, 1: 100, 2: 100"}
    assert spirals.first == ()


def test_texts_are_described_with_their_speakers(real):
    real("shakespeare")
    plays = show("shakespeare")
    assert plays.facts["characters"] == "1,115,394, 65 distinct"
    assert plays.facts["speakers"].startswith("299, the most by GLOUCESTER (")
    assert plays.first == ("First Citizen:", "Before we proceed any further, hear me speak.", "")


def test_real_mail_is_counted_and_never_quoted(real):
    real("enron")
    found = show("enron")
    assert found.facts["classes"] == "2,973 ham, 3,027 spam"
    assert found.facts["user lokay-m"] == "250 ham, 750 spam"
    assert found.first == ()


def test_any_file_is_described_as_what_it_holds(tmp_path):
    path = tmp_path / "mine"
    path.write_text("a,b,class\n1,2.5,x\n2,3.5,y\n3,4.5,x\n")
    assert show(str(path)).facts == {
        "examples": "3 of 2 features",
        "classes": "x: 2, y: 1",
        "notes": "classes x, y",
    }
    path.write_text("BOB:\nHello there.\n\nSUE:\nHo!\n")
    assert show(str(path)).facts["speakers"] == "2, the most by BOB (12), SUE (4)"
    path.write_text("label,text\nham,a\neggs,b\nspam,c\n")
    with pytest.raises(DataError, match="1 of 3 rows cannot be read"):
        show(str(path))
    assert show(str(path), Reading(skip_bad=True)).facts["classes"] == "1 ham, 1 spam"
    path.write_text("label,text\nnews,a\nsport,b\nmusic,c\n")
    assert show(str(path), Reading(labels=("news", "sport", "music"))).facts["classes"] == "1 news, 1 sport, 1 music"


PLAY = "OTTO: Is it late, my friend?\nIDA: It is: yes, quite late.\nOTTO: Well, then.\n"


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (PLAY, ("speakers", "2, the most by OTTO (34), IDA (23)")),
        (PLAY.replace("\n", "\n\n") * 2, ("speakers", "2, the most by OTTO (69), IDA (47)")),
        ("Once, upon a time.\nAgain, it was so.\n" * 3, ("speakers", "0")),
        ("It was.\n" * 9, ("characters", "72, 8 distinct")),
        ("x,label\n1.5,0\n2,1\n3,0\n4,1\n", ("examples", "4 of 1 feature")),
    ],
)
def test_what_a_scenario_reads_is_shown(tmp_path, content, fact):
    path = tmp_path / "mine"
    path.write_text(content)
    assert fact in show(str(path)).facts.items()


def test_what_users_of_leaf_say_and_arrays_are_shown(tmp_path):
    said = "to be or not to be, that is the question"
    pieces = {"x": [said[i : i + 20] for i in range(20)], "y": list(said[20:40])}
    leaf = tmp_path / "all_data.json"
    leaf.write_text(json.dumps({"users": ["A", "B"], "num_samples": [20, 20], "user_data": {"A": pieces, "B": pieces}}))
    assert show(str(leaf)).facts["speakers"] == "2, the most by B (41), A (40)"
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((4, 2, 2)), labels=np.array([["a"], ["b"], ["a"], ["b"]]))
    assert show(str(tmp_path / "a.npz")).facts["classes"] == "a: 2, b: 2"
    np.save(tmp_path / "b.npy", np.array([[0.5, 1.0], [1.5, 0.0], [2.5, 1.0]]))
    assert show(str(tmp_path / "b.npy")).facts["classes"] == "0: 1, 1: 2"
    np.savez(tmp_path / "c.npz", X=np.zeros((4, 2)), words=np.array(["a"] * 4))
    with pytest.raises(DataError, match=r"c\.npz has the arrays X, words: name them X and y"):
        show(str(tmp_path / "c.npz"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("".join(f"a{i},b{i}\n" for i in range(9)), "which column is the label is not clear"),  # a table, and no text
        ("".join(f"{i},Subject: see you at {i},{'hs'[i % 2]}\n" for i in range(30)), "labels 'h', 's' are not ham"),
        ("a,b,class\n1,2,x\n2,oh,y\n3,4,y\n5,6,y\n7,8,x\n", "column b is 'oh', no number"),
        ("From: a@b.example\nTo: c@d.example\nSubject: hi\n\nhi\n", "nothing says whether its 1 message is spam"),
        ('[{"a": 1}]', "no column of texts: the columns are a"),
    ],
)
def test_of_what_no_scenario_reads_the_likeliest_fault_is_told(tmp_path, content, message):
    path = tmp_path / "mine"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        show(str(path))


def test_what_a_python_file_makes_is_shown(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def pair():\n    return [[1.0], [2.0]], [0, 1]\n\n\ndef letters():\n    return ['a', 'b']\n")
    assert show(f"{path}:pair").facts["examples"] == "2 of 1 feature"
    assert show(f"{path}:letters").facts == {"examples": "2"}


def test_of_many_users_the_largest_are_shown(tmp_path):
    path = tmp_path / "mine"
    rows = [f"{'spam' if i % 2 else 'ham'},{i} {user},user{user}" for user in range(30) for i in range(user + 2)]
    path.write_text("label,text,user\n" + "\n".join(rows))
    facts = show(str(path)).facts
    assert facts["users"] == "30, of whom the 20 with the most messages are shown"
    assert [name for name in facts if name.startswith("user ")] == sorted(f"user user{user}" for user in range(10, 30))
