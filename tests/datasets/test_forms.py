"""Forms that are no standard and go round all the same."""

from __future__ import annotations

import json

import pytest

from fedlearn.datasets import Reading, load_corpus
from fedlearn.errors import DataError

LINES = [("ham", "see you, at nine"), ("spam", "win; a prize"), ("ham", "the bakery: shut")] * 3
HEAD = "label,text\n"


@pytest.mark.parametrize(
    "content",
    [
        "".join(f"{label} {text}\n" for label, text in LINES),
        "".join(f"{label}: {text}\r\n" for label, text in LINES),
        "".join(f"{label.upper()},{text}\n\n" for label, text in LINES),
        "".join(f"__label__{label} {text}\n" for label, text in LINES),
        HEAD + "".join(f'{label},"{text}"\n,\n\n' for label, text in LINES),
        "sep=\t\n" + HEAD.replace(",", "\t") + "".join(f"{label}\t{text}\n" for label, text in LINES),
        "sep=;\r\n" + HEAD.replace(",", ";") + "".join(f'{label};"{text}"\r\n' for label, text in LINES),
        f"# written\n# by me, and you\n#, too\n{HEAD}" + "".join(f'{label},"{text}"\n' for label, text in LINES),
        json.dumps([{"n": 1, "mail": {"body": text, "id": 7}, "label": label} for label, text in LINES]),
        json.dumps({"columns": ["label", "text"], "index": [*range(9)], "data": LINES}),
    ],
)
def test_other_forms_of_the_same(tmp_path, content):
    (tmp_path / "mine").write_text(content)
    corpus = load_corpus(str(tmp_path / "mine"))
    assert corpus.texts == tuple(text for _, text in LINES)
    assert corpus.labels.tolist() == [0, 1, 0] * 3


def test_values_within_objects_are_columns(tmp_path):
    path = tmp_path / "mine"
    rows = [{"user": {"id": u}, "text": t, "label": {"name": k, "number": k == "spam"}} for k, t in LINES for u in "ab"]
    path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(DataError, match=r"not clear: the columns are user.id, text, label.name, label.number"):
        load_corpus(str(path))
    corpus = load_corpus(str(path), Reading(label_column="label.name", user_column="user.id"))
    assert corpus.labels.tolist() == [0, 0, 1, 1, 0, 0] * 3
    assert corpus.users == ("a", "b") * 9


def test_fasttexts_labels_may_be_of_more_classes(tmp_path):
    lines = (f"__label__news vote now {i}\n__label__sport a goal, at last {i}\n" for i in range(3))
    (tmp_path / "mine").write_text("".join(lines))
    corpus = load_corpus(str(tmp_path / "mine"), Reading(labels=("news", "sport")))
    assert corpus.texts[:2] == ("vote now 0", "a goal, at last 0")


def test_bad_rows_of_a_split_table_are_named(tmp_path):
    (tmp_path / "mine").write_text(json.dumps({"columns": ["label", "text"], "data": [*LINES, ["ham"], 7]}))
    with pytest.raises(DataError, match=r"2 of 11 items cannot be read .item 10: no list of 2 values; item 11"):
        load_corpus(str(tmp_path / "mine"))
