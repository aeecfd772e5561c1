"""The main job on real mail: as good as if all of it lay in one place, and the same bits under encryption."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from fedlearn.datasets import DATASETS, load_corpus, split
from fedlearn.datasets.bags import Bags, encode
from fedlearn.datasets.vocabulary import HashedVocabulary
from scenarios.command.options import Options
from scenarios.spam import run

SEEDS = range(5)
KEY = {"key_bits": 2048}
CLIENTS = {"sms_spam": 10, "enron": None}  # enron: its six mailboxes


def needs(name: str) -> None:
    if not os.environ.get("FEDLEARN_DATA") or not DATASETS.load(name).path().is_file():
        pytest.skip(f"{name} is not at hand: `fedlearn data show {name}` says how to get it")


def central_accuracy(name: str, seed: int) -> float:
    """Of a logistic regression on all training mails at once, on the same features and split."""

    def matrix(bags: Bags) -> csr_matrix:
        return csr_matrix((np.ones(len(bags.indices)), bags.indices, bags.offsets), (len(bags), 2**14))

    vocabulary = HashedVocabulary()
    train, test = (encode(part, vocabulary) for part in split(load_corpus(name), seed=seed))
    model = LogisticRegression(max_iter=1000).fit(matrix(train), train.labels)
    return model.score(matrix(test), test.labels)


@pytest.mark.parametrize("name", ["sms_spam", pytest.param("enron", marks=pytest.mark.slow)])
def test_ten_rounds_come_within_half_a_percent_of_central_training(name, tmp_path):
    needs(name)
    runs = []
    for seed in SEEDS:
        options = Options(data=name, clients=CLIENTS[name], protection="none", seed=seed, out=tmp_path / str(seed))
        runs.append(run(options).metrics)
    median = np.median([metrics["accuracy"] for metrics in runs])
    assert median >= np.median([central_accuracy(name, seed) for seed in SEEDS]) - 0.005
    assert np.median([metrics["f1"] for metrics in runs]) >= 0.90


@pytest.mark.slow  # on the built-in sample it runs always
@pytest.mark.parametrize("name", ["sms_spam", "enron"])
def test_encryption_and_pool_change_no_bit(name, tmp_path):
    needs(name)
    hashes = set()
    for protection, pool in (("none", "inline"), ("paillier", "inline"), ("paillier", "processes")):
        out: Path = tmp_path / f"{protection}-{pool}"
        options = Options(data=name, clients=CLIENTS[name], rounds=2, epochs=1, protection=protection, pool=pool,
                          out=out, **KEY if protection == "paillier" else {})  # fmt: skip
        hashes.add(run(options).model_sha256)
    assert len(hashes) == 1
