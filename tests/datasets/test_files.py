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
from fedlearn.errors import DataError

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
