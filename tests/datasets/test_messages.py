from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest

from fedlearn.datasets import load_corpus
from fedlearn.errors import BadInput, DataError


@pytest.fixture
def write(tmp_path):
    def to_file(data: str | bytes) -> str:
        path = tmp_path / "mine.tsv"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return str(path)

    return to_file


def test_a_file_of_label_tab_text(write):
    data = "ham\thello there\nSPAM\twin\ta prize\n0\t\n 1 \tcall now\n"
    corpus = load_corpus(write(data))
    assert corpus.texts == ("hello there", "win\ta prize", "", "call now")
    assert corpus.labels.tolist() == [0, 1, 0, 1]
    assert corpus.labels.dtype == np.int8
    assert corpus.users is None
    assert not corpus.synthetic
    assert corpus.sha256 == sha256(data.encode()).hexdigest()


def test_a_header_names_the_columns_in_any_order(write):
    corpus = load_corpus(write("date\tText\tuser\tLABEL\n1\thi\tbob\tham\n2\tbuy\talice \tspam\n"))
    assert corpus.texts == ("hi", "buy")
    assert corpus.users == ("bob", "alice")
    assert corpus.labels.tolist() == [0, 1]


def test_a_header_without_users(write):
    assert load_corpus(write("label\ttext\nham\ta\nspam\tb\n")).users is None


def test_a_message_of_the_word_user_makes_no_users(write):
    assert load_corpus(write("ham\tuser\nspam\tb\n")).users is None


def test_only_line_feeds_part_lines_and_quotes_mean_nothing(write):
    texts = ('say "hi', 'he said "no" \x85 twice', "page\x0cbreak \u2028 here", "carriage\rreturn", '"')
    corpus = load_corpus(write("".join(f"{'ham' if i else 'spam'}\t{t}\n" for i, t in enumerate(texts))))
    assert corpus.texts == texts


def test_windows_line_ends_a_byte_order_mark_blank_lines_and_a_missing_last_line_end(write):
    assert load_corpus(write(b"\xef\xbb\xbfham\ta\r\n\r\nspam\tb\r\nham\tc")).texts == ("a", "b", "c")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty: give one message a line"),
        (b"\n", "is empty"),
        (b"just a text\n", "line 1: no label beside 'just a text': write it as label TAB text"),
        (b"ham\ta\nspam\tb\nspam b\n", "(line 3: 1 field where most lines have 2): mend them"),
        (b"ham\ta\n\neggs\tb\n", "(line 3: label 'eggs' is none of ham, spam, 0, 1): mend them"),
        (
            b"ham\ta\n" * 9 + b"x\ta\n" * 2,
            "2 of 11 rows cannot be read (line 10: label 'x' is none of ham, spam, 0, 1; l",
        ),
        (
            b"ham\ta\n" * 9 + b"x\ta\n" * 5,
            "labels 'ham', 'x' are not ham and spam: name the one of spam with Reading(spam_lab",
        ),
        (b"class\ttext\nham\ta\n", "1 message, all with one label: add messages labelled spam"),
        (b"ham\ta\nham\tb\n", "2 messages, all with one label: add messages labelled spam"),
        (b"1\ta\n", "1 message, all with one label: add messages labelled ham"),
        (b"label\ttext\n", "has a header line and no message"),
        (b"label\ttext\tuser\nham\ta\n", "line 2: 2 fields where line 1 names 3"),
        (b"label\ttext\tuser\nham\ta\tbob\nspam\tb\t \n", "line 3: empty user"),
        (b"label\ttext\ttext\nham\ta\tb\n", "2 columns named text: keep one"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(write, data, message):
    path = write(data)
    with pytest.raises(DataError) as caught:
        load_corpus(path)
    assert message in str(caught.value)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_neither_a_file_nor_a_name(tmp_path):
    with pytest.raises(DataError, match=r"neither a file nor a data set \(did you mean 'sms_spam'\?\)"):
        load_corpus("sms_spm")
    with pytest.raises(DataError, match=r"or one of sample, sms_spam, enron$"):
        load_corpus(str(tmp_path / "absent.tsv"))
    with pytest.raises(DataError, match="neither a file nor a data set"):
        load_corpus("x" * 5000)


def test_a_named_file_without_the_variable(monkeypatch):
    monkeypatch.delenv("FEDLEARN_DATA", raising=False)
    with pytest.raises(DataError) as caught:
        load_corpus("sms_spam")
    for part in (
        "SMSSpamCollection.tsv",
        "FEDLEARN_DATA is not set",
        "fedlearn data fetch sms_spam",
        "data set sample",
    ):
        assert part in str(caught.value)


def test_a_named_file_that_is_not_in_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDLEARN_DATA", str(tmp_path))
    with pytest.raises(DataError) as caught:
        load_corpus("enron")
    for part in ("enron_users.tsv", str(tmp_path), "Enron-Spam", "no public download", "data set sample"):
        assert part in str(caught.value)
    assert "fetch" not in str(caught.value)


def test_a_named_file_of_other_bytes(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDLEARN_DATA", str(tmp_path))
    (tmp_path / "SMSSpamCollection.tsv").write_bytes(b"ham\ta\nspam\tb\n")
    with pytest.raises(DataError) as caught:
        load_corpus("sms_spam")
    assert sha256(b"ham\ta\nspam\tb\n").hexdigest() in str(caught.value)
    assert "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d" in str(caught.value)


def test_the_sms_collection(real):
    real("sms_spam")
    corpus = load_corpus("sms_spam")
    assert (len(corpus), int(corpus.labels.sum()), corpus.users) == (5574, 747, None)
    assert len(corpus.without_duplicates()) == 5171
    lengths = np.array([len(text) for text in corpus.texts])
    assert (lengths.min(), lengths.max()) == (2, 910)
    assert round(lengths[corpus.labels == 0].mean()) == 71
    assert round(lengths[corpus.labels == 1].mean()) == 139
    assert sum(text.count('"') for text in corpus.texts) == 347


def test_the_six_mailboxes(real):
    real("enron")
    corpus = load_corpus("enron")
    assert corpus.users is not None
    spam = {user: 0 for user in corpus.users}
    for user, label in zip(corpus.users, corpus.labels.tolist(), strict=True):
        spam[user] += label
    assert spam == {
        "farmer-d": 290,
        "kaminski-v": 255,
        "kitchen-l": 272,
        "williams-w3": 750,
        "beck-s": 710,
        "lokay-m": 750,
    }
    assert len(corpus) == len(corpus.without_duplicates()) == 6000
    assert all(text.startswith("Subject:") for text in corpus.texts)


def test_a_data_set_of_another_kind_is_not_a_corpus():
    with pytest.raises(BadInput, match="data set spirals is for classes, not ham/spam: choose sample, sms_spam, enron"):
        load_corpus("spirals")
