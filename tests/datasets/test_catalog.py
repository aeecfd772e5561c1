from __future__ import annotations

from fedlearn.datasets import DATASETS
from fedlearn.datasets.catalog import rows, show


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
