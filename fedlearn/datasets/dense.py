"""Small data sets of numbers in classes: scikit-learn's digits, and spirals drawn here."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Self

import numpy as np

from fedlearn.checked import REAL, as_array, in_order, refuse_masked, rows_of_numbers, taken, takes_plain
from fedlearn.configured import real_number, whole_number
from fedlearn.datasets.belonging import classes_of, users_of
from fedlearn.datasets.corpus import cut_stratified
from fedlearn.datasets.dataset import CLASSES, GeneratedSet
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput, DataError, ShapeError
from fedlearn.seeding import stream
from fedlearn.wording import many

MOST = 2**20  # classes


@dataclass(frozen=True, eq=False)
class Scale:
    """Standardisation of columns: subtract `mean`, divide by `deviation`, (d,) each."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, public: np.ndarray) -> Self:
        """Fit on PUBLIC rows (n, d), since nobody may see the clients'. A constant column is divided by 1."""
        public = rows_of_numbers("public rows", public)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = public.mean(axis=0), public.std(axis=0)
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
            raise BadInput("public rows are too large to be scaled: give numbers under 1e150, or 1e18 of float32")
        constant = (public == public[0]).all(axis=0)  # rounding gives such a column a deviation, too
        mean = np.where(constant, public[0], mean)
        return cls(mean, np.where(constant | (deviation == 0), np.float32(1.0), deviation))

    def applied(self, features: np.ndarray) -> np.ndarray:
        """The rows (n, d), scaled; raises `BadInput` for rows of another length."""
        features = as_array("features", features)
        if features.ndim != 2 or features.dtype.kind not in REAL:
            rows_of_numbers("features", features)  # says what is wrong
        if features.shape[1:] != self.mean.shape:
            raise BadInput(
                f"rows of {many(features.shape[-1], 'number')} where {len(self.mean):,} are read: give the same columns"
            )
        found: np.ndarray = (features - self.mean) / self.deviation
        return found


@dataclass(frozen=True, eq=False)
class Samples:
    """`features` float32 (n, d) with a class each, `labels` int64 (n,) in 0 .. classes - 1."""

    name: str
    features: np.ndarray
    labels: np.ndarray
    classes: int
    synthetic: bool
    sha256: str
    source: str
    users: tuple[str, ...] | None = None
    """The owner of each row, (n,), if known: the clients of --partition natural."""
    scaled: bool = True
    """True if the features are scaled for training, False if they are as they stood in a user's file."""
    scale: Scale | None = None
    """The standardisation that was applied, if new rows need the same."""
    named: tuple[str, ...] = ()
    """The names of the classes, if they are not 0, 1, ..."""
    notes: tuple[str, ...] = ()
    """Notes on what was guessed or left out in reading."""

    def __post_init__(self) -> None:
        whole_number("classes", self.classes, least=1, most=MOST)
        features = as_array("features", self.features)
        if features.ndim != 2 or features.dtype.kind not in REAL:
            raise ShapeError(
                f"{self.name}: features of shape {features.shape} and type {features.dtype}: give rows (n, d)"
            )
        count = len(features)
        named = tuple(in_order(self.named, "names of classes"))
        if named and len(named) != self.classes:
            raise ShapeError(
                f"{self.name}: {many(len(named), 'name')} for {many(self.classes, 'class', 'classes')}: give each "
                "class its name"
            )
        labels = classes_of(self.name, self.labels, "row", count, named or range(self.classes))
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "named", named)
        object.__setattr__(self, "labels", labels.astype(np.int64, copy=False))
        object.__setattr__(self, "users", users_of(self.name, self.users, "row", count))

    def __repr__(self) -> str:
        """How much there is, never what."""
        each, classes = many(self.features.shape[1], "number"), many(self.classes, "class", "classes")
        return f"<Samples {self.name}: {len(self.labels):,} of {each}, {classes}>"

    @classmethod
    def of(
        cls,
        name: str,
        features: np.ndarray,
        labels: np.ndarray,
        *,
        source: str,
        synthetic: bool = False,
        users: Sequence[str] | None = None,
    ) -> Self:
        """From features (n, ...), which become rows, and whole numbers from 0 as classes (n,).

        Raises `DataError` for other labels, or features that are not finite numbers.
        """
        for part, values in (("features", features), ("labels", labels)):
            refuse_masked(f"{name}: {part}", values)
        kind = np.asarray(0.0 if isinstance(features, list | tuple) else features).dtype
        if kind.kind not in REAL:
            raise DataError(f"{name}: features are of type {kind}: give an array (n, d) of numbers")
        try:
            with np.errstate(over="ignore"):  # what float32 does not hold is refused below
                rows = np.asarray(features, np.float32)
            classes = np.asarray(labels)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{name}: features are no numbers ({error}): give an array (n, d)") from None
        rows = np.ascontiguousarray(rows.reshape(len(rows), prod(rows.shape[1:])) if rows.ndim else rows[None, None])
        whole = classes.dtype.kind in REAL and np.array_equal(classes, np.floor(classes))
        if not (whole and classes.shape == (len(rows),) and len(rows) and 0 <= classes.min() <= classes.max() < MOST):
            raise DataError(
                f"{name}: {many(len(rows), 'row')}, labels {classes.shape}: give each row a whole number from 0"
            )
        if not np.isfinite(rows).all():
            raise DataError(f"{name}: a feature is not finite: take such rows out")
        classes = classes.astype(np.int64)
        digest = sha256(rows.tobytes() + classes.tobytes()).hexdigest()
        whose = users_of(name, users, "row", len(rows))
        return cls(name, rows, classes, int(classes.max()) + 1, synthetic, digest, source, whose)

    def read_from(self, digest: str, named: Sequence[str], notes: tuple[str, ...]) -> Samples:
        """The same, as they stood in a user's file of this SHA-256: unscaled, with classes of these names."""
        named = tuple(in_order(named, "names of classes"))
        return replace(self, sha256=digest, classes=len(named), named=named, scaled=False, notes=notes)

    @takes_plain
    def scaled_as(self, scale: Scale) -> Samples:
        """The same, with features brought to one size."""
        return replace(self, features=scale.applied(self.features), scaled=True, scale=scale)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes 0, 1, ..."""
        return self.named or tuple(map(str, range(self.classes)))

    def __len__(self) -> int:
        return len(self.labels)

    def facts(self) -> dict[str, str]:
        """The text that `fedlearn data show` prints."""
        counts = Counter(self.labels.tolist())
        users = {} if self.users is None else {"users": f"{len(set(self.users)):,}"}
        return {
            "examples": f"{len(self):,} of {many(self.features.shape[1], 'feature')}",
            "classes": ", ".join(f"{name}: {counts[label]}" for label, name in enumerate(self.class_names)),
            **users,
        }

    def take(self, indices: np.ndarray) -> Samples:
        """The rows at `indices`, in that order."""
        indices = taken("indices", indices, len(self))
        users = None if self.users is None else tuple(self.users[index] for index in indices.tolist())
        return replace(self, features=self.features[indices], labels=self.labels[indices], users=users)

    def examples(self) -> Arrays:
        """Features and classes as a model takes them; views."""
        return Arrays(self.features, self.labels)


@takes_plain
def split_samples(samples: Samples, test_fraction: float = 0.2, seed: int = 0) -> tuple[Samples, Samples]:
    """(train, test), shuffled by `seed` and stratified by class (see `cut_stratified`).

    Raises `BadInput` where one of the two would have no rows.
    """
    train, test = cut_stratified(samples.labels, test_fraction, stream(seed, "split"))
    if not (len(train) and len(test)):
        part = "test with" if len(train) else "train on"
        raise BadInput(
            f"{samples.name}: {many(len(samples), 'row')} at test fraction {test_fraction} would leave none to {part}: "
            "give more rows, or another fraction"
        )
    return samples.take(train), samples.take(test)


def load_digits() -> Samples:
    """1,797 images of digits, 8 x 8 grey values in [0, 1] as rows of 64; needs scikit-learn.

    UCI's "Optical Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, 1998), its test part.
    """
    with gzip.open(_bundled("digits", "digits.csv.gz"), "rt") as file:
        table = np.loadtxt(file, delimiter=",")
    return Samples.of("digits", table[:, :-1] / 16.0, table[:, -1], source=DIGITS.origin)


def _load_table(name: str, filename: str) -> Samples:
    """A table of scikit-learn's, its columns brought to mean 0 and deviation 1."""
    table = np.loadtxt(_bundled(name, filename), delimiter=",", skiprows=1)
    scale = Scale.of(table[:, :-1])
    source = f"UCI, as packaged in scikit-learn ({filename})"
    return replace(Samples.of(name, scale.applied(table[:, :-1]), table[:, -1], source=source), scale=scale)


def _bundled(name: str, filename: str) -> Path:
    library = find_spec("sklearn")  # importing it would take a second and a hundred megabytes
    if library is None or not library.submodule_search_locations:
        raise DataError(f"data set {name} needs scikit-learn: pip install 'fedlearn[datasets]'")
    return Path(library.submodule_search_locations[0], "datasets", "data", filename)


@takes_plain
def spirals(per_arm: int, arms: int, turns: float, noise: float, rng: np.random.Generator) -> Samples:
    """`arms` interleaved spirals around the origin, one class each, `per_arm` points an arm in the unit disc.

    A point at radius r of an arm stands `turns * r` turns further than where the arm starts, plus a normal
    error of `noise` radians.
    """
    whole_number("points of an arm", per_arm, most=10**6)
    whole_number("spirals", arms, most=1000)
    real_number("turns", turns, least=-1e6, below=1e6, usual="for example 0.65")
    real_number("noise", noise, least=0.0, below=1e6, usual="for example 0.2")
    if per_arm < 1 or arms < 2:
        raise BadInput(
            f"{many(arms, 'spiral')} of {many(per_arm, 'point')}: give at least 2 spirals of at least 1 point"
        )
    labels = np.repeat(np.arange(arms), per_arm)
    radius = np.tile(np.linspace(0.05, 1.0, per_arm), arms)
    angle = 2.0 * np.pi * (labels / arms + turns * radius) + noise * rng.standard_normal(len(labels))
    features = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return Samples.of("spirals", features, labels, synthetic=True, source=SPIRALS.origin)


DIGITS = GeneratedSet(
    name="digits",
    task=CLASSES,
    records="1,797 images of 8 x 8",
    clients="none",
    licence="CC BY 4.0",
    origin="UCI data set 80, test part, as packaged in scikit-learn",
    generate=load_digits,
)

SPIRALS = GeneratedSet(
    name="spirals",
    task=CLASSES,
    records="300 points",
    clients="none",
    licence="that of this program",
    origin="three noisy spirals from a fixed seed",
    generate=lambda: spirals(per_arm=100, arms=3, turns=0.65, noise=0.2, rng=np.random.default_rng(0)),
)

IRIS, WINE, BREAST_CANCER = (
    GeneratedSet(
        name=name,
        task=CLASSES,
        records=records,
        clients="none",
        licence="CC BY 4.0",
        origin=origin,
        generate=partial(_load_table, name, filename),
    )
    for name, filename, records, origin in (
        ("iris", "iris.csv", "150 flowers, 4 features", "UCI data set 53, R. A. Fisher, 1936"),
        ("wine", "wine_data.csv", "178 wines, 13 features", "UCI data set 109, M. Forina, 1991"),
        ("breast_cancer", "breast_cancer.csv", "569 samples, 30 features", "UCI data set 17, W. H. Wolberg, 1995"),
    )
)
