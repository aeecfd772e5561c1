"""Which column of a table is the text and which the label."""

from __future__ import annotations

import pytest

from fedlearn.datasets import Reading
from fedlearn.errors import DataError
from tests.datasets.test_files import check, read, table


@pytest.mark.parametrize(
    "header",
    [("v1", "v2", "user"), ("Category", "Message", "USER"), ("Spam/Ham", "Body", "Client_ID"),
     ("label", "SMS ", "owner"), ("Klasse", "Nachricht", "Benutzer"), ("sortiert", "Inhalt", "Benutzer")],
)  # fmt: skip
def test_columns_are_known_by_the_names_that_go_round_or_by_what_is_in_them(tmp_path, header):
    check(read(tmp_path, table(header=header)))


def test_a_table_without_a_header(tmp_path):
    check(read(tmp_path, table(header=()), Reading(user_column="3")))
    assert read(tmp_path, 'ham,"a, b"\nspam,c d\n').texts == ("a, b", "c d")


def test_subject_and_message_are_one_text_and_a_column_of_addresses_is_none(tmp_path):
    data = "email,Subject,message,label\na@b.c,hello,how are you,ham\nd@e.f,,win,spam\n"
    assert read(tmp_path, data).texts == ("hello\nhow are you", "win")


@pytest.mark.parametrize(
    ("ham", "spam"),
    [
        ("ham", "spam"),
        ("0", "1"),
        ("no", "YES"),
        ("Not Spam", "Spam"),
        ("False", "True"),
        ("0.0", "1.0"),
        ("legit", "Junk"),
    ],
)
def test_labels_are_known_in_the_words_that_go_round(tmp_path, ham, spam):
    corpus = read(tmp_path, f"text,label\nhi,{ham}\nbuy,{spam}\n")
    assert corpus.labels.tolist() == [0, 1]


def test_options_say_what_is_meant(tmp_path):
    data = "Kind,Title,Note,Who\nA,see you,x y,bob\nB,win now,z,sue\nB,again,z,bob\n"
    how = Reading(text_column="title", label_column="kind", user_column="WHO", spam_label="b")
    corpus = read(tmp_path, data, how)
    assert corpus.texts == ("see you", "win now", "again")
    assert corpus.labels.tolist() == [0, 1, 1]
    assert corpus.users == ("bob", "sue", "bob")
    assert read(tmp_path, data, Reading("2", "1", "4", "B")).texts == corpus.texts


def test_more_classes_than_two(tmp_path):
    data = "label,text\nsport,goal\nnews,vote\nMusic,song\nsport,run\n"
    corpus = read(tmp_path, data, Reading(labels=("news", "sport", "music")))
    assert corpus.labels.tolist() == [1, 0, 2, 1]
    assert corpus.classes == ("news", "sport", "music")
    with pytest.raises(DataError, match=r"label 'Music' is none of news, sport"):
        read(tmp_path, data, Reading(labels=("news", "sport")))
    names = tuple(f"kind {i}" for i in range(200))
    many = read(
        tmp_path, "label\ttext\n" + "".join(f"{name}\ttext of {name}\n" for name in names), Reading(labels=names)
    )
    assert (many.labels.tolist(), many.classes) == ([*range(200)], names)
    with pytest.raises(DataError, match="labels News, news, sport: some differ by case or blanks alone"):
        read(tmp_path, data, Reading(labels=("News", "news", "sport")))


def test_a_subject_that_is_the_label_is_no_part_of_the_text(tmp_path):
    rows = "".join(f"{('ham', 'spam')[i % 2]},hello number {i}\n" for i in range(4))
    corpus = read(tmp_path, "subject,text\n" + rows, Reading(label_column="subject"))
    assert corpus.texts == tuple(f"hello number {i}" for i in range(4))


def test_bad_rows_are_counted_and_left_out_if_that_is_wanted(tmp_path):
    data = "label,text,user\nham,a,u\neggs,b,u\nspam,c\n\nspam,d,\nham,e,u,v\nspam,f,u\nham,g,u,,\n"
    with pytest.raises(DataError) as caught:
        read(tmp_path, data)
    for part in (
        "4 of 7 rows",
        "line 4: 2 fields where line 1 names 3",
        "line 7",
        "and 1 more",
        "Reading(skip_bad=True)",
    ):
        assert part in str(caught.value)
    corpus = read(tmp_path, data, Reading(skip_bad=True))
    assert corpus.texts == ("a", "f", "g")
    assert corpus.notes[0].startswith("4 bad rows left out (line 4: ")


def test_guesses_are_said_aloud(tmp_path):
    data = "sortiert;Inhalt\n" + "gut;schöne Grüße aus dem Norden\nspam;für 5 € mehr davon\n" * 3
    notes = read(tmp_path, data.encode("cp1252")).notes
    assert "label in column sortiert, text in Inhalt" in notes
    assert "label 'gut' taken for ham" in notes
    assert "read as cp1252, a guess: give Reading(encoding=NAME) if letters are wrong" in notes
    assert not read(tmp_path, table()).notes
