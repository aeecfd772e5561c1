"""The spam filter as an estimator of scikit-learn: `FederatedSpamFilter().fit(texts, labels, users=...)`.

What `fedlearn run spam` does, on lists in place of files: each user is a client, trains on the own texts, and hands in
updates that nobody else can read. It goes where scikit-learn's classifiers go: into pipelines, searches and
cross-validation. Needs scikit-learn (extra datasets).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

try:
    from joblib import effective_n_jobs
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as missing:
    raise ImportError("FederatedSpamFilter needs scikit-learn: pip install 'fedlearn[datasets]'") from missing

from aggregator import Aggregator, History
from clients import Client, InlinePool, ProcessPool
from fedlearn.checked import as_array, in_order
from fedlearn.configured import whole_number
from fedlearn.datasets import PARTITIONS, VOCABULARIES, Corpus, encode
from fedlearn.errors import BadInput
from fedlearn.modelfile import Described, write_model
from fedlearn.models.kinds import Words
from fedlearn.protocol.parties import client_name
from fedlearn.secure.base import Protection
from fedlearn.seeding import stream
from fedlearn.trained import Trained
from fedlearn.wording import many
from scenarios.command import build
from scenarios.command.options import MOST_SEED, Options


class FederatedSpamFilter(ClassifierMixin, BaseEstimator):
    """A filter of two classes, trained by those who have the messages, none of which leaves its owner.

    vocabulary     how words are numbered: `hashed`, `hashed:BUCKETS` or `explicit:FILE`
    dim            1 for a weight a word, more for embeddings of so many numbers
    clients        how many the texts are dealt to, where `fit` is told no users
    rounds, epochs, batch_size, lr, strategy    as the options of `fedlearn run spam`
    protection     `paillier`, `threshold:T/N`, `masks` or `none`, or a `Protection`
    n_jobs         processes that clients run in: None or 1 for this one, -1 for one a processor
    random_state   seed of every choice that can be repeated, a whole number; keys never come from it

    After `fit`: `classes_`, of which the second stands for spam; `history_`, the rounds; `trained_`, the model with
    its vocabulary, as `fedlearn.load` gives it.
    """

    def __init__(
        self,
        *,
        vocabulary: str = "hashed",
        dim: int = 1,
        clients: int = 3,
        rounds: int = 10,
        epochs: int = 3,
        batch_size: int = 8,
        lr: float = 2.0,
        strategy: str = "fedavg",
        protection: str | Protection = "paillier",
        n_jobs: int | None = None,
        random_state: int = 0,
    ):
        self.vocabulary = vocabulary
        self.dim = dim
        self.clients = clients
        self.rounds = rounds
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.strategy = strategy
        self.protection = protection
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(self, X: Sequence[str], y: Sequence[Any], users: Sequence[Any] | None = None) -> Self:  # noqa: N803
        """Train on texts (n,) with labels of two kinds (n,). users: whose each text is (n,): each is a client.

        Raises `BadInput`, a ValueError, for other texts, labels, users or parameters, before anything is trained.
        """
        if self.n_jobs is not None and whole_number("n_jobs", self.n_jobs) == 0:
            raise BadInput("n_jobs is 0: give the number of processes, or -1 for one a processor")
        workers = effective_n_jobs(self.n_jobs)
        texts = _texts(X)
        classes, labels = _labels(y, len(texts))
        options = self._options()
        corpus = Corpus("texts", tuple(texts), labels.astype(np.int8), _owners(users, len(texts)), False, "", "")
        words = VOCABULARIES.parse(self.vocabulary)
        mails = encode(corpus, words)
        rng = stream(options.seed, "partition")
        deal = PARTITIONS.parse("iid" if corpus.users is None else "natural")
        parts = deal.split(labels, corpus.users, options.clients if corpus.users is None else None, rng)
        owners = sorted(set(corpus.users)) if corpus.users else [client_name(i) for i in range(len(parts))]
        people = [Client(name, mails.take(part)) for name, part in zip(owners, parts, strict=True)]
        model = build.model(options, Words(len(words)))
        aggregator = Aggregator(
            model, build.strategy(options), self.protection, seed=options.seed, vocabulary=words.to_dict()
        )
        pool = ProcessPool(people, workers=workers) if workers > 1 else InlinePool(people)
        self.history_: History = aggregator.fit(pool, options.rounds)
        self.classes_ = classes
        names = tuple(map(str, classes.tolist()))
        self.trained_ = Trained(Described("spam", model, names, words, "", None))
        return self

    def _options(self) -> Options:
        """The parameters as options of the command, which know their limits."""
        return Options(
            model="spam", dim=self.dim, rounds=self.rounds, epochs=self.epochs, batch_size=self.batch_size, lr=self.lr,
            strategy=self.strategy, clients=self.clients,
            seed=whole_number("random_state", self.random_state, 0, MOST_SEED),
        )  # fmt: skip

    def predict(self, X: Sequence[str]) -> np.ndarray:  # noqa: N803
        """The label of each text (n,), as `fit` was given it."""
        spam = self.decision_function(X) > 0
        predicted: np.ndarray = self.classes_[spam.astype(np.int64)]
        return predicted

    def predict_proba(self, X: Sequence[str]) -> np.ndarray:  # noqa: N803
        """The probability of each of `classes_`, float64 (n, 2)."""
        check_is_fitted(self)
        return self.trained_.predict_proba(_texts(X))

    def decision_function(self, X: Sequence[str]) -> np.ndarray:  # noqa: N803
        """How much speaks for the second of `classes_`, float64 (n,): the logit, above 0 where it is likelier."""
        check_is_fitted(self)
        return self.trained_.logits(_texts(X))[:, 1]

    def explain(self, text: str) -> list[tuple[str, float]]:
        """The amount that each word of a text adds to `decision_function`, most first."""
        check_is_fitted(self)
        return self.trained_.explain(text)

    def save(self, folder: str | Path) -> None:
        """Write the model into a new folder, for `fedlearn.load` and `fedlearn predict --run FOLDER`."""
        check_is_fitted(self)
        write_model(self.trained_.about, folder)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.string = True
        tags.classifier_tags.multi_class = False
        return tags


def _texts(given: Any) -> list[str]:
    texts = in_order(given, "texts")
    odd = next((text for text in texts if not isinstance(text, str)), None)
    if odd is not None:
        raise BadInput(f"{odd!r:.60} is no text: X is a list of texts")
    return texts


def _labels(given: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The two classes, sorted, and the number of each label's, int64 (n,)."""
    if given is None:
        raise BadInput("it requires y to be passed, but the target y is None: give a label for each text")
    given = given if hasattr(given, "__array__") else in_order(given, "labels")
    labels = as_array("labels", given)
    if labels.shape != (count,):
        raise BadInput(f"labels of shape {labels.shape} for {many(count, 'text')}: give one for each")
    _refuse_missing("y", labels.tolist())
    if labels.dtype.kind in "US" and any(not isinstance(label, str | bytes) for label in given):
        raise BadInput("y mixes texts with other labels, which would all come back as texts: give labels of one kind")
    try:
        classes, numbers = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise BadInput(f"y has labels of several kinds ({error}): give labels of one kind") from None
    if len(classes) != 2:
        shown = ", ".join(map(str, classes[:5].tolist()))
        scikit = "Only binary classification is supported. " if len(classes) > 2 else ""  # as its checks have it
        found = f"{many(len(classes), 'class', 'classes')} ({shown})" if count else "no labels, X no texts"
        raise BadInput(f"{scikit}y has {found}: a spam filter tells two classes apart")
    return classes, numbers


def _refuse_missing(name: str, values: Sequence[Any]) -> None:
    """Raise `BadInput` for None, nan and pandas' NA, which would count as a label or a user of that name."""
    where = next((number for number, value in enumerate(values) if _missing(value)), None)
    if where is not None:
        raise BadInput(f"{name} number {where} is missing ({values[where]}): leave its text out, or say what it is")


def _missing(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or bool(value != value)  # nan equals nothing


def _owners(given: Any, count: int) -> tuple[str, ...] | None:
    if given is None:
        return None
    given = in_order(given, "users")
    _refuse_missing("users", given)
    users = tuple(map(str, given))
    if len(users) != count:
        raise BadInput(f"{many(len(users), 'user')} for {many(count, 'text')}: give one for each")
    return users
