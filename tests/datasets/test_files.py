"""Every form in which people have labelled messages gives the same corpus."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.datasets import Corpus, Reading, load_corpus
from fedlearn.datasets.files import read_anything, read_texts
from fedlearn.errors import BadInput, DataError

FORMATS = Path(os.environ.get("FEDLEARN_DATA", "/nowhere")) / "formats"
TEXTS = ['win, "now"; free', "see you\tat nine", "zwei\nZeilen", "ünlimited 奖品", "one", "two words"]
SPAM = [True, False, False, True, False, True]
USERS = ["bob", "sue", "bob", "sue", "bob", "bob"]
ROWS = list(zip(("spam" if spam else "ham" for spam in SPAM), TEXTS, USERS, strict=True))


def table(delimiter: str = ",", line_end: str = "\n", header: tuple[str, ...] = ("label", "text", "user")) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=line_end)
    writer.writerows([*([header] if header else []), *ROWS])
    return out.getvalue()


def read(folder: Path, data: bytes | str, how: Reading | None = None, name: str = "mine") -> Corpus:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return load_corpus(str(path), how)


def check(corpus: Corpus, users: bool = True) -> None:
    assert list(corpus.texts) == TEXTS
    assert corpus.labels.tolist() == SPAM
    assert corpus.users == (tuple(USERS) if users else None)


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_of_every_dialect(tmp_path, delimiter, line_end, encoding):
    check(read(tmp_path, table(delimiter, line_end).encode(encoding)))


def test_a_table_of_an_old_mac(tmp_path):
    corpus = read(tmp_path, "label,text\rham,hi\rspam,buy\r")
    assert (corpus.texts, corpus.labels.tolist()) == (("hi", "buy"), [0, 1])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ham", "spam"]),
            st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.sampled_from("\n\t")),
        )
    ),
    st.sampled_from(",;|"),
)
def test_whatever_csv_writes_is_read(tmp_path_factory, rows, delimiter):
    rows = [("ham", "h"), ("spam", "s"), *((label, f"x {text}") for label, text in rows)]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([("label", "text"), *rows])
    corpus = read(tmp_path_factory.mktemp("csv"), out.getvalue())
    assert corpus.texts == tuple(text for _, text in rows)


OBJECTS = [{"label": label, "text": text, "user": user} for label, text, user in ROWS]
JSON = {
    "array": json.dumps(OBJECTS),
    "lines": "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in OBJECTS) + "\n",
    "columns": json.dumps({key: [one[key] for one in OBJECTS] for key in OBJECTS[0]}),
    "pandas": json.dumps({key: {str(i): one[key] for i, one in enumerate(OBJECTS)} for key in OBJECTS[0]}),
    "inner": json.dumps({"version": 1, "data": OBJECTS}, indent=1),
    "rows": json.dumps([["label", "text", "user"], *map(list, ROWS)]),
    "leaf": json.dumps({
        "users": ["bob", "sue"], "num_samples": [4, 2],
        "user_data": {u: {"x": [r[1] for r in ROWS if r[2] == u], "y": [int(r[0] == "spam") for r in ROWS if r[2] == u]}
                      for u in ("bob", "sue")},
    }),
}  # fmt: skip


@pytest.mark.parametrize("form", JSON)
def test_json_in_its_forms(tmp_path, form):
    corpus = read(tmp_path, JSON[form])
    assert sorted(zip(corpus.labels.tolist(), corpus.texts, corpus.users or (), strict=True)) == sorted(
        zip(SPAM, TEXTS, USERS, strict=True)
    )


def test_parquet(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="needs pyarrow (extra parquet)")
    from pyarrow import feather, parquet

    plain = {"sms": TEXTS, "label": [int(spam) for spam in SPAM], "user": USERS}
    within = {
        "mail": [{"text": text.encode()} for text in TEXTS],
        "label": SPAM,
        "user": arrow.array(USERS).dictionary_encode(),
    }
    for columns in (plain, within):
        table = arrow.table(columns)
        parquet.write_table(table, tmp_path / "parquet")
        feather.write_feather(table, tmp_path / "feather")
        with arrow.ipc.new_stream(tmp_path / "stream", table.schema) as stream:
            stream.write_table(table, max_chunksize=4)
        for name in ("parquet", "feather", "stream"):
            check(load_corpus(str(tmp_path / name)))
    for name in ("parquet", "feather"):
        with pytest.raises(DataError, match="damaged or cut off"):
            read(tmp_path, (tmp_path / name).read_bytes()[:-40], name="cut")
    twice = arrow.Table.from_arrays([arrow.array(TEXTS), *[arrow.array(SPAM)] * 2], names=["text", "label", "label"])
    parquet.write_table(twice, tmp_path / "parquet")
    with pytest.raises(DataError, match="2 columns named label: keep one"):
        load_corpus(str(tmp_path / "parquet"))


def test_a_text_that_is_missing_is_empty_whoever_wrote_it(tmp_path):
    lines = "".join(f'{{"label": "{label}", "text": {text}}}\n' for label, text in (("ham", "NaN"), ("spam", "null")))
    assert read(tmp_path, lines).texts == ("", "")


@pytest.mark.parametrize("nested", [[1, 2], [["a"]], ["a", None], [{"a": 1}]])
def test_a_structure_is_no_text(tmp_path, nested):
    lines = [*OBJECTS, {"label": "spam", "text": nested, "user": "bob"}]
    data = "".join(json.dumps(one) + "\n" for one in lines)
    with pytest.raises(DataError, match=r"1 of 7 rows cannot be read \(line 7: column text.* is .*, no text\)"):
        read(tmp_path, data)
    check(read(tmp_path, data, Reading(skip_bad=True)))


def test_numbers_of_which_one_is_missing_are_no_messages(tmp_path):
    (tmp_path / "rows.csv").write_text("a,label\n" + "".join(f"{n if n != 3 else ''},{n % 2}\n" for n in range(8)))
    with pytest.raises(DataError, match="line 5: column a is '', no number"):
        read_anything(str(tmp_path / "rows.csv"))


def zipped(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/spam.csv", data)
        archive.writestr("__MACOSX/a/._spam.csv", b"\0\5\26\7")
    return out.getvalue()


def tarred(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        info = tarfile.TarInfo("a/spam.csv")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zipped, tarred])
def test_packed_files(tmp_path, pack: Callable[[bytes], bytes]):
    check(read(tmp_path, pack(table().encode())))


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(table().encode())))
    check(load_corpus("-"))
    for none in (None, io.StringIO("ham\tsee you")):  # of a service, and of a notebook
        monkeypatch.setattr(sys, "stdin", none)
        with pytest.raises(DataError, match="no standard input here"):
            load_corpus("-")


def test_texts_of_a_table_have_their_subjects_with_and_without_labels(tmp_path):
    for name, label, rows in (("labelled", "label,", ("ham,", "spam,")), ("plain.csv", "", ("", ""))):
        (tmp_path / name).write_text(f"{label}subject,text\n{rows[0]}hello,see you\n{rows[1]}win,buy now\n")
    texts = load_corpus(str(tmp_path / "labelled")).texts
    assert texts == ("hello\nsee you", "win\nbuy now")
    assert tuple(read_texts(str(tmp_path / "plain.csv"), Reading())) == texts
    blank = "label,text\n" + "ham, \nspam, \n" * 5
    (tmp_path / "blank").write_text(blank)
    assert len(read_anything(str(tmp_path / "blank"))) == 10  # messages, though they say nothing, and no numbers


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_texts_without_labels_are_lines_of_any_system(tmp_path, end):
    (tmp_path / "mine").write_bytes(end.join(["one", "", "two", ""]).encode())
    assert read_texts(str(tmp_path / "mine")) == ["one", "", "two"]


def test_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=[table()])
    writer.start()
    check(load_corpus(str(path)))
    writer.join()


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


MILLION = ",".join(f"c{i}" for i in range(1_000_000)) + "\n" + "," * 999_999 + "\n"
KINDS = "text,kind\n" + "".join(f"{i} {kind} times,{kind}\n" for i in range(5) for kind in ("promo", "social", "mail"))
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
        ("text,is_ham\na,0\nb,1\n", Reading(label_column="is_ham"), "may say what is ham: give Reading"),
        ('label,text\nham,"never closed\nspam,b\n', None, "line 2: a quote is opened and not closed"),
        ('label,text\nspam,b\nham,"a"b "\nspam,"c\n', None, "line 3: a quote is opened and not closed"),
        (MILLION, None, "1,000,000 columns, the limit is 16,384"),
        ("[]", None, "empty array"),
        ('[{"label": "ham", "text": "a"}, 3]', None, "1 of 2 rows cannot be read .item 2: no JSON object .3"),
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
