"""Numbers in classes from the files that people have."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

from fedlearn.datasets import Reading, load_samples
from fedlearn.datasets.dense import Scale
from fedlearn.errors import BadInput, DataError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40) % 3
SPAMBASE = Path(os.environ.get("FEDLEARN_DATA", "/nowhere")) / "spambase.csv"


def table(
    separator: str = ",", header: str = "a,b,c,class", names: tuple[str, ...] = ("0", "1", "2"), point: str = "."
) -> str:
    lines = [header.replace(",", separator)] if header else []
    lines += [
        separator.join([*(f"{v:.6f}".replace(".", point) for v in row), names[y]]) for row, y in zip(X, Y, strict=True)
    ]
    return "\n".join(lines) + "\n"


def read(folder: Path, data: bytes | str, how: Reading | None = None):
    path = folder / "mine"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return load_samples(str(path), how)


def saved(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def one(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def check(samples) -> None:
    assert np.allclose(samples.features, X, atol=1e-6)
    assert samples.features.dtype == np.float32
    assert samples.labels.tolist() == Y.tolist()
    assert (samples.classes, samples.scaled) == (3, False)


@pytest.mark.parametrize(
    "data",
    [
        table(), table(";", point=","), table("\t"), table(header=""), table(names=("a", "b", "c")),
        saved(X=X, y=Y), saved(features=X.reshape(40, 1, 3), labels=Y), one(np.c_[X, Y]),
        saved(x_train=X, y_train=Y, x_test=X),
    ],
)  # fmt: skip
def test_tables_and_arrays(tmp_path, data):
    check(read(tmp_path, data))


def test_which_column_is_the_class_can_be_said_and_a_guess_is_told(tmp_path):
    first = "kind,a,b,c\n" + "".join(
        f"{'xyz'[y]},{','.join(map(repr, row.tolist()))}\n" for row, y in zip(X, Y, strict=True)
    )
    for said in ("kind", "Kind", "1"):
        samples = read(tmp_path, first, Reading(label_column=said))
        check(samples)
        assert samples.notes == ("classes x, y, z",)
    assert read(tmp_path, first, Reading(label_column="1", labels=("z", "y", "x"))).labels[:3].tolist() == [2, 1, 0]
    assert "the last column taken for the classes" in read(tmp_path, table(header="a,b,c,d")).notes
    assert read(tmp_path, saved(x_train=X, y_train=Y, x_test=X)).notes == ("left out: x_test",)
    check(read(tmp_path, saved(X=X, kinds=Y), Reading(label_column="kinds")))


@pytest.mark.parametrize("number", ["1,234", "-12,345 "])
def test_a_comma_that_may_be_of_thousands_is_said_to_be_the_decimal_point(tmp_path, number):
    samples = read(tmp_path, f'a,b,label\n"0,5",2,x\n"{number}",3,y\n')
    meant = number.strip().replace(",", ".")
    assert samples.features[:, 0].tolist() == [0.5, np.float32(float(meant))]
    assert f"a comma in a number taken for the decimal point: {number.strip()} is {meant}" in samples.notes
    plain = read(tmp_path, "a;b;label\n0,123;2;x\n1,5;3;y\n")
    assert not any("comma" in note for note in plain.notes)


def test_users_are_clients(tmp_path):
    rows = [f"{row[0]},{y},{'ab'[i % 2]}" for i, (row, y) in enumerate(zip(X, Y, strict=True))]
    samples = read(tmp_path, "x,label,user\n" + "\n".join(rows))
    assert samples.users == ("a", "b") * 20
    assert samples.features.shape == (40, 1)


def test_bad_rows_are_counted(tmp_path):
    data = table() + "1,2,oops,0\n1,2,nan,0\n1,2\n"
    with pytest.raises(
        DataError, match=r"3 of 43 rows cannot be read \(line 42: column c is 'oops', no number; line 43"
    ):
        read(tmp_path, data)
    check(read(tmp_path, data, Reading(skip_bad=True)))


def test_a_column_of_words_is_one_fault(tmp_path):
    data = "".join(f"{i},{'xyz'[i % 3]},{i % 2}\n" for i in range(40))
    with pytest.raises(
        DataError, match="column who has words where numbers are read, as 'x': take it out, or say what"
    ):
        read(tmp_path, "a,who,class\n" + data)
    assert read(tmp_path, "a,who,class\n" + data, Reading(user_column="who")).features.shape == (40, 1)


def test_public_examples_say_how_all_are_scaled(tmp_path):
    samples = read(tmp_path, saved(X=np.c_[X * 1000 + 5, np.ones(40)], y=Y))
    public, private = samples.take(np.arange(10)), samples.take(np.arange(10, 40))
    scale = Scale.of(public.features)
    scaled = public.scaled_as(scale)
    assert scaled.scaled
    assert np.allclose(scaled.features[:, :3].mean(axis=0), 0, atol=1e-5)
    assert np.allclose(scaled.features[:, :3].std(axis=0), 1, atol=1e-5)
    expected = (private.features[:, 0] - public.features[:, 0].mean()) / public.features[:, 0].std()
    assert np.allclose(private.scaled_as(scale).features[:, 0], expected)


LYING = one(X).replace(b"(40, 3)", b"(9000000000, 3)".ljust(7))


@pytest.mark.parametrize(
    ("data", "how", "message"),
    [
        (one(X[:, 0]), None, r"an array \(40,\) of one file must be"),
        (saved(a=X, b=Y), None, "has the arrays a, b: name them X and y"),
        (saved(X=X, y=Y), Reading(label_column="z"), "no array 'z'"),
        (saved(X=X, y=Y[:-1]), None, "give rows of numbers with a class each"),
        (saved(X=X, y=X), None, "give one value for each row"),
        (saved(X=np.array([{}] * 40, object), y=Y), None, "holds an array that cannot be read"),
        (LYING, None, "holds an array that cannot be read"),
        (one(X)[:-8], None, "holds an array that cannot be read"),
        (table(), Reading(label_column="kind"), "no column 'kind'"),
        (table(), Reading(labels=("0", "1")), "class '2' is none of 0, 1"),
        (table(names=("1", "1", "1")), None, "class '1' is the only one: give rows of two"),
        (
            "a,b\n" + "".join(f"{i}.5,{i}.25\n" for i in range(60)),
            None,
            "has 60 values: give Reading.label_column=NAME.",
        ),
        ("just words\nand more\n", None, "has 1 column:"),
        ("", None, "mine is empty: give rows of numbers"),
        (b"\x89PNG", None, "is a PNG image"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, data, how, message):
    with pytest.raises(BadInput, match=message) as caught:
        read(tmp_path, data, how)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shape", "classes"), [("iris", (150, 4), 3), ("wine", (178, 13), 3), ("breast_cancer", (569, 30), 2)]
)
def test_sets_of_scikit_learn(name, shape, classes):
    sklearn = pytest.importorskip("sklearn.datasets")
    samples, theirs = load_samples(name), getattr(sklearn, f"load_{name}")()
    assert (samples.features.shape, samples.classes) == (shape, classes)
    assert samples.labels.tolist() == theirs.target.tolist()
    expected = (theirs.data - theirs.data.mean(axis=0)) / theirs.data.std(axis=0)
    assert np.allclose(samples.features, expected, atol=1e-5)


@pytest.mark.skipif(not SPAMBASE.is_file(), reason="needs spambase.csv under FEDLEARN_DATA")
def test_spambase():
    samples = load_samples(str(SPAMBASE))
    assert (samples.features.shape, samples.classes, int(samples.labels.sum())) == ((4601, 57), 2, 1813)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a,label\n1,\n2,x\n3,y\n", "line 2: empty class"),
        ("a,label\n1_0,x\n2,y\n", "line 2: column a is '1_0', no number"),
        ("a,label\n1e40,x\n2,y\n", "a feature is not finite"),
        (saved(X=X[:0], y=Y[:0]), "holds no row of numbers"),
        (saved(X=X[:3], y=np.array([1.0, np.nan, 0.0])), "class number 1 is nan"),
    ],
)
def test_what_is_missing_is_no_class_and_no_number(tmp_path, data, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, data)


def test_settings_of_another_kind_are_refused_and_a_list_of_labels_will_do():
    with pytest.raises(BadInput, match="text_column is 2, a str is needed"):
        Reading(text_column=2)
    with pytest.raises(BadInput, match="a list of values of classes is meant"):
        Reading(labels="xy")
    assert Reading(labels=["x", "y"]) == Reading(labels=("x", "y"))


def test_a_path_is_a_file_as_its_name_is(tmp_path):
    (tmp_path / "mine").write_text(table())
    assert np.array_equal(load_samples(tmp_path / "mine").features, load_samples(str(tmp_path / "mine")).features)


def test_classes_and_users_in_arrays_are_called_as_a_person_would(tmp_path):
    for classes in (np.array(["no", "yes"])[Y % 2], np.array([b"no", b"yes"])[Y % 2]):
        assert read(tmp_path, saved(X=X, y=classes)).class_names == ("no", "yes")
    floats = read(tmp_path, saved(X=X, y=Y % 2 + 1.0, whose=Y + 0.0), Reading(user_column="whose"))
    assert (floats.class_names, floats.users) == (("1", "2"), tuple(map(str, Y)))
    assert read(tmp_path, saved(X=X, y=np.where(Y == 1, 1e30, 0.5))).class_names == ("0.5", "1e+30")
    table = read(tmp_path, one(np.c_[X, Y % 2, Y]), Reading(label_column="4", user_column="5"))
    assert (table.features.shape, table.users) == ((40, 3), tuple(map(str, Y)))


@pytest.mark.parametrize(
    ("data", "how", "message"),
    [
        (saved(X=X, y=np.where(Y == 1, np.inf, Y)), None, "class number 1 is inf: leave out rows without a class"),
        (saved(X=X, y=Y + 1j), None, r"class is an array \(40,\) of complex128"),
        (saved(X=X, y=Y), Reading(user_column="u"), "no array 'u'"),
        (saved(X=X, y=Y), Reading(text_column="X"), "text_column=X has no effect on .*, which is read as numbers"),
        (table(), Reading(spam_label="1"), "spam_label=1 has no effect on .*, which is read as numbers"),
        ("a,class,class\n1,0,1\n2,1,0\n", None, "2 columns named class: keep one"),
        ("a,user,class\n1,u,0\n2,,1\n3,u,1\n", None, "line 3: empty user"),
        ("user,class\n1,x\n2,y\n", None, "give a column of numbers beside them"),
        (table(), Reading(label_column="a", user_column="a"), "column 1 is said to be class and user"),
        (table(), Reading(label_column="9" * 5000), "no column"),
        (one(X).replace(b"(40, 3)", b"(40, 3 "), None, "holds an array that cannot be read"),
    ],
)
def test_what_is_said_and_cannot_be_followed_is_refused(tmp_path, data, how, message):
    with pytest.raises(BadInput, match=message):
        read(tmp_path, data, how)


def test_bad_lines_of_json_are_counted_among_numbers_too(tmp_path):
    lines = '{"a": 1, "class": "x"}\nnonsense\n{"a": 3, "class": "y"}\n{"a": 4, "class": "y"}\n'
    with pytest.raises(DataError, match=r"1 of 4 rows cannot be read \(line 2: no JSON object"):
        read(tmp_path, lines)
    assert len(read(tmp_path, lines, Reading(skip_bad=True))) == 3
