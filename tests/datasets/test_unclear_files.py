"""Files in which it is not clear what is meant: asked in one line, or guessed aloud."""

from __future__ import annotations

import pytest

from fedlearn.datasets import Reading, load_corpus
from fedlearn.errors import BadInput, DataError
from tests.datasets.test_files import FORMATS, read, table

MILLION = ",".join(f"c{i}" for i in range(1_000_000)) + "\n" + "," * 999_999 + "\n"
KINDS = "text,kind\n" + "".join(f"{i} {kind} times,{kind}\n" for i in range(5) for kind in ("promo", "social", "mail"))
NUMBERED = "nr,mail,werbung\n" + "".join(
    f"{i},a text that is number {i},{'ja' if i % 3 else 'nein'}\n" for i in range(12)
)
UNCLEAR = "a,b,c\n" + "x,q,hello there you\nz,w,hello again now\n" * 9
TWO_TEXTS = "label,one,two\nham,abc def,ghi jkl\nspam,mno pqr,stu vwx\n"


@pytest.mark.parametrize(
    ("data", "how", "message"),
    [
        (
            table(),
            Reading(text_column="texts"),
            r"no column 'texts' \(did you mean 'text'\?\) for text_column: the col",
        ),
        (table(), Reading(text_column="texts"), "the columns are label, text, user: give Reading.text_column=NAME."),
        (table(), Reading(user_column="7"), "no column '7' for user_column"),
        (table(), Reading(text_column="label", label_column="label"), "one column is taken for two things"),
        (table(), Reading(spam_label="junk"), "no message is labelled 'junk': spam_label is one of 'spam', 'ham'"),
        (table(), Reading(encoding="utf8x"), "Reading.encoding=utf8x. is unknown"),
        (table(), Reading(encoding="hex"), "Reading.encoding=hex. is none of texts"),
        (table(), Reading(encoding="undefined"), "Reading.encoding=undefined. is none of texts"),
        (table(), Reading(encoding="ascii"), "line 6: byte 0xc3 is not ascii: give another one, or leave it out to"),
        (
            UNCLEAR,
            None,
            "which column is the label is not clear: the columns are a, b, c: give Reading.label_column=NAME.",
        ),
        (TWO_TEXTS, None, "which column is the text is not clear: .* give Reading.text_column=NAME."),
        ("text,label,label\na,ham,1\n", None, "2 columns named label: keep one"),
        (
            KINDS,
            None,
            "labels 'promo', 'social', 'mail' are not ham and spam: .*spam_label=VALUE.*labels=.A,B,C",
        ),
        (NUMBERED, None, "labels 'ja', 'nein' are not ham and spam: .*spam_label=VALUE"),
        ("text,is_ham\na,0\nb,1\n", Reading(label_column="is_ham"), "may say what is ham: give Reading"),
        ('label,text\nham,"never closed\nspam,b\n', None, "line 2: a quote is opened and not closed"),
        ('label,text\nspam,b\nham,"a"b "\nspam,"c\n', None, "line 3: a quote is opened and not closed"),
        (MILLION, None, "1,000,000 columns, the limit is 16,384"),
        ("[]", None, "empty array"),
        ('[{"label": "ham", "text": "a"}, 3]', None, "1 of 2 items cannot be read .item 2: no JSON object .3"),
        ('{"a": 1}', None, "its JSON is no table"),
        ('{"label": "ham", "text": "a"}\n{"label":\n', None, "line 2: no JSON object .Expecting value"),
        ("[" * 100_000, None, "nested too deep|is not JSON"),
        ('{"label": "ham",', None, "is not JSON .Expecting"),
        (
            '[{"label": "ham", "text": "a", "text": "b"}]',
            None,
            "the key 'text' stands twice in one object",
        ),
    ],
)
def test_what_is_not_clear_is_asked_in_one_line(tmp_path, data, how, message):
    with pytest.raises(BadInput, match=message) as caught:
        read(tmp_path, data, how)
    assert "\n" not in str(caught.value)


def test_a_named_data_set_needs_no_word_on_how_to_read_it():
    with pytest.raises(BadInput, match="sample is no file of yours"):
        load_corpus("sample", Reading(text_column="text"))
    with pytest.raises(BadInput, match="give one of the two"):
        Reading(spam_label="a", labels=("a", "b"))
    with pytest.raises(BadInput, match="at least two values"):
        Reading(labels=("a", "a"))


@pytest.mark.skipif(not FORMATS.is_dir(), reason="needs the folder formats under FEDLEARN_DATA")
@pytest.mark.parametrize(
    ("name", "messages", "spam", "users", "how"),
    [
        ("01_kaggle_spam.csv", 110, 33, 0, None),
        ("02_SMSSpamCollection", 110, 37, 0, None),
        ("03_enron_spam_data.csv", 100, 31, 0, None),
        ("04_category_message_bom.csv", 90, 30, 0, None),
        ("05_semicolon_cp1252.csv", 90, 46, 3, None),
        ("05_semicolon_cp1252.csv", 90, 46, 3, Reading(spam_label="spam", encoding="cp1252")),
        ("06_excel_unicode.txt", 90, 35, 3, None),
        ("07_users.tsv.gz", 120, 38, 3, None),
        ("08_eml_folders.zip", 80, 26, 3, None),
        ("09_takeout.mbox", 90, 35, 3, None),
        ("10_maildir.tar", 64, 18, 2, None),
        ("11_messages.jsonl", 100, 36, 3, None),
        ("12_leaf_all_data.json", 96, 34, 3, None),
        ("13_spamassassin.tar.bz2", 80, 26, 3, None),
        ("14_hub.parquet", 100, 37, 0, None),
    ],
)
def test_files_of_the_collection(name, messages, spam, users, how):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="needs pyarrow (extra parquet)")
    corpus = load_corpus(str(FORMATS / name), how)
    assert (len(corpus), int(corpus.labels.sum()), len(set(corpus.users or ()))) == (messages, spam, users)
    assert all("\ufffd" not in text and "Ã" not in text for text in corpus.texts)


def test_two_columns_of_labels_that_disagree_are_asked_about(tmp_path):
    path = tmp_path / "two.csv"
    path.write_text("label,label_num,text\n" + "ham,0,hello you\nspam,1,win it now\n" * 3)
    assert load_corpus(str(path)).labels.tolist() == [0, 1] * 3
    path.write_text("label,class,text\n" + "ham,1,hello you\nspam,0,win it now\n" * 3)
    with pytest.raises(
        DataError, match=r"columns label and class say different labels: .* give Reading.label_column=NAME."
    ):
        load_corpus(str(path))
    assert load_corpus(str(path), Reading(label_column="class")).labels.tolist() == [1, 0] * 3


RUSSIAN = "Привет, как дела? Встретимся завтра"


@pytest.mark.parametrize(
    ("text", "encoding", "reads"),
    [
        (RUSSIAN, "koi8-r", "koi8-r: Привет"),
        (RUSSIAN, "cp1251", "cp1251: Привет"),
        ("你好,明天九点在门口见面", "gb18030", "gb18030: 你好"),
        ("こんにちは、明日の九時に会いましょう", "shift_jis", "shift_jis: こんにちは"),
        ("שלום נתראה מחר בתשע", "cp1255", "cp1255: שלום"),
    ],
)
def test_what_is_neither_utf_8_nor_western_is_shown_as_it_may_be(text, encoding, reads, tmp_path):
    data = "".join(f'{label},"{text} {i}"\n' for i in range(5) for label in ("ham", "spam")).encode(encoding)
    with pytest.raises(DataError, match=r"line 1 is not UTF-8, .* Reading.encoding=NAME., .*" + reads):
        read(tmp_path, data)
    assert read(tmp_path, data, Reading(encoding=encoding)).texts[0] == f"{text} 0"


def test_a_few_letters_beyond_ascii_are_still_a_guess(tmp_path):
    assert "read as cp1252" in str(read(tmp_path, "ham,é è ê\nspam,ü ö ä\n".encode("cp1252")).notes)


def test_texts_with_the_delimiter_are_told_of_quotes(tmp_path):
    data = b"label,text\n" + b"ham,well, see you, bye\nspam,win, now, free\n" * 5
    with pytest.raises(
        DataError, match=r"10 of 10 rows .* 4 fields where line 1 names 2; .* need quotes.*: mend them$"
    ):
        read(tmp_path, data)
