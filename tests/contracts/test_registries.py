"""Every entry of every registry keeps the promises of its seam, and so will the next one without being named here."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from aggregator.robust import RULES, Rule, as_rule
from aggregator.sampling import SAMPLERS
from clients import Client
from clients.behaviours import BEHAVIOURS, Crew
from fedlearn.datasets import PARTITIONS
from fedlearn.datasets.vocabulary import HashedVocabulary
from fedlearn.models import MODELS
from fedlearn.models.base import Model
from fedlearn.models.kinds import Words
from fedlearn.models.mlp import MLP
from fedlearn.queries import QUERIES, Confusion
from fedlearn.secure import PROTECTIONS
from fedlearn.secure.base import Settings
from fedlearn.strategies import STRATEGIES
from fedlearn.testing import (
    check_behaviour,
    check_model,
    check_partition,
    check_protection,
    check_query,
    check_rule,
    check_sampler,
    check_strategy,
)
from fedlearn.testing.toys import WORDS, dense_examples, messages
from scenarios.testing import check_federation
from tests.contracts.samples import dense_built, samples_for
from tests.toys import TOY_BITS, toy_codec


@pytest.mark.parametrize("name", list(STRATEGIES.entries))
def test_strategies(name):
    kind = STRATEGIES.load(name)
    check_strategy(kind())
    for field, value in {"momentum": 0.9, "weight_decay": 0.1, "optimizer": "adam", "epochs": 3}.items():
        if field in {f.name for f in fields(kind)} and value in getattr(kind, "local_optimizers", (value,)):
            check_strategy(kind(**{field: value}))


@pytest.mark.parametrize("name", list(STRATEGIES.entries))
def test_strategies_in_a_federation(name):
    check_federation(STRATEGIES.load(name)(batch_size=2))


@pytest.mark.parametrize("name", list(PROTECTIONS.entries))
def test_protections(name):
    check_protection(PROTECTIONS.parse(name, Settings(toy_codec(), TOY_BITS, insecure_test_key=True)))


@pytest.mark.parametrize("name", list(PARTITIONS.entries))
def test_partitions(name):
    spec = {"dirichlet": "dirichlet:0.5", "shards": "shards:2"}.get(name, name)
    check_partition(PARTITIONS.parse(spec))


@pytest.mark.parametrize("name", list(SAMPLERS.entries))
def test_samplers(name):
    spec = {"availability": "availability:diurnal=4"}.get(name, name)
    check_sampler(SAMPLERS.parse(spec, lambda: list(range(1, 31))))


@pytest.mark.parametrize("name", list(MODELS.entries))
def test_models(name):
    model, data = samples_for(MODELS.load(name))
    check_model(model, data)


@pytest.mark.parametrize("name", [name for name in MODELS.entries if dense_built(MODELS.load(name))])
def test_dense_models_in_a_federation(name):
    model, data = samples_for(MODELS.load(name))
    check_federation(model=model, clients=[Client(f"client-{i}", part) for i, part in enumerate(data)])


@pytest.mark.parametrize("name", list(BEHAVIOURS.entries))
@pytest.mark.parametrize("data", [messages(12, 0), dense_examples(12, 0)], ids=["messages", "dense"])
def test_behaviours(name, data):
    vocabulary = HashedVocabulary(WORDS) if name == "backdoor" else None
    if name == "backdoor" and data.targets.dtype != np.float32:
        pytest.skip("plants a word, which dense examples have not")
    crew = Crew(cohort=10, corrupted=2, colluders={0: data, 1: data}, classes=2, vocabulary=vocabulary)
    settings = {"z": 1.5} if name == "alie" else {}
    check_behaviour(BEHAVIOURS.load(name).of(crew, **settings), data)


@pytest.mark.parametrize("name", list(QUERIES.entries))
def test_queries(name):
    kind = QUERIES.load(name)
    data = [messages(12, 0), messages(7, 1)] if Words in kind.reads else [dense_examples(n, n) for n in (12, 7)]
    settings = {
        "mean": {"low": -8.0, "high": 8.0, "step": 0.5},
        "words": {"vocabulary": WORDS},
        "frequent": {"vocabulary": WORDS},
    }
    query = kind.of(MLP([6, 4, 3]), classes=3) if issubclass(kind, Confusion) else kind(**settings.get(name, {}))
    if issubclass(kind, Confusion):
        data = [dense_examples(n, n) for n in (12, 7)]
    check_query(query, data)


@pytest.mark.parametrize("name", list(RULES.entries))
def test_rules(name):
    """Before a rule stands nothing by itself: with the trimmed mean behind it."""
    check_rule(as_rule(name if issubclass(RULES.load(name), Rule) else f"{name}+trimmed"))


def test_a_model_is_a_model():
    assert all(issubclass(MODELS.load(name), Model) for name in MODELS.entries)
