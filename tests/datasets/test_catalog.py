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


def test_a_description_counts_by_class_and_user(tmp_path):
    path = tmp_path / "mine.tsv"
    path.write_text("label\ttext\tuser\nham\tHi hi!\tsue\nspam\tbuy\tbob\nspam\tbuy\tsue\n")
    found = show(str(path))
    assert (found.messages, found.distinct, found.ham, found.spam) == (3, 2, 1, 2)
    assert found.users == {"bob": (0, 1), "sue": (1, 1)}
    assert (found.tokens, found.distinct_tokens) == (5, 3)
    assert found.first == ("Hi hi!", "buy", "buy")


def test_real_mail_is_counted_and_never_quoted(real):
    real("enron")
    found = show("enron")
    assert (found.ham, found.spam, len(found.users)) == (2973, 3027, 6)
    assert found.first == ()
