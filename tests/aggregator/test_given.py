"""What a user gives an Aggregator: names, paths, plain clients and NumPy's numbers work; anything else is refused."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict

import numpy as np
import pytest
from scipy.sparse import csr_array

from aggregator import Aggregator, CsvTracker, RunFolder, given
from clients import Client, InlinePool, ProcessPool
from fedlearn import nn
from fedlearn.configured import arguments_of
from fedlearn.datasets.examples import Arrays
from fedlearn.errors import BadInput, CodecError, FedlearnError
from fedlearn.models.base import Model
from fedlearn.models.mlp import MLP
from fedlearn.privacy.asked import Privacy
from fedlearn.protocol import PartyView
from fedlearn.secure import Masks, Paillier, Plain, Threshold
from fedlearn.secure.compression import Compression
from fedlearn.secure.kept import KeptKeys
from fedlearn.secure.pki import Pki
from fedlearn.strategies import FedAvg
from fedlearn.strategies.fedprox import FedProx
from fedlearn.trained import load
from tests.toys import FailingBags, toy_clients, toy_model, toy_plain, toy_strategy

SEEDS = (0, 2**63, 2**64 - 1)


def pairs(count: int = 3, dtype=np.float64) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((8, 5)).astype(dtype), rng.integers(3, size=8)) for _ in range(count)]


def mlp() -> MLP:
    return MLP((5, 4, 3), rng=np.random.default_rng(1))


def test_names_stand_for_what_they_name():
    made = Aggregator(toy_model(), "fedprox:mu=0.25", "masks:20", sampler="poisson", faults="dropout=0.1")
    assert made.strategy == FedProx(mu=0.25)
    assert isinstance(made.protection, Masks)
    assert made.protection.neighbours == 20
    assert type(made.sampler).__name__ == "Poisson"
    assert made.faults.dropout == 0.1
    assert isinstance(Aggregator(toy_model(), "fedavg", "none").protection, Plain)
    threshold = Aggregator(toy_model(), protection="threshold:3/4").protection
    assert isinstance(threshold, Threshold)
    assert (threshold.threshold, threshold.trustees) == (3, 4)
    assert isinstance(Aggregator(toy_model()).protection, Paillier)
    assert Aggregator(toy_model()).strategy == FedAvg()


def test_a_run_by_names_a_path_and_pairs_is_that_of_the_objects(tmp_path):
    plain, named = mlp(), mlp()
    clients = [Client(f"client-{i}", Arrays(X.astype(np.float32), y)) for i, (X, y) in enumerate(pairs())]
    Aggregator(plain, FedAvg(lr=0.5), Plain(), seed=7).fit(InlinePool(clients), 2)
    by_name = Aggregator(
        named, "fedavg:lr=0.5", "none", seed=np.int64(7), cohort=np.int32(3), folder=str(tmp_path / "run")
    )
    history = by_name.fit(pairs(), np.int16(2))
    assert history.counted == 2
    assert named.vector.tobytes() == plain.vector.tobytes()
    text = (tmp_path / "run" / "run.json").read_text()
    run = json.loads(text)
    assert text == json.dumps(run, indent=2) + "\n"
    assert run["seed"] == 7
    assert run["configuration"] == {
        "model": "MLP of 39 weights",
        "strategy": {"name": "fedavg", **FedAvg(lr=0.5).arguments()},
        "protection": {"name": "none", **Plain().arguments()},
        "cohort": 3,
        "seed": 7,
    }
    with pytest.raises(BadInput, match="not empty"):
        Aggregator(mlp(), folder=tmp_path / "run")


@pytest.mark.parametrize(("option", "said"), [
    ({"privacy": "noise=1,clip=0.3"}, {"privacy": arguments_of(Privacy(noise=1.0, clip=0.3))}),
    ({"robust": "median", "group_size": 2}, {"robust": "median", "group_size": 2}),
    ({"server_lr_schedule": "step:2"}, {"server_lr_schedule": "step:2"}),
    ({"compression": "share=0.5"}, {"compression": asdict(Compression(share=0.5))}),
])  # fmt: skip
def test_each_option_that_decides_a_run_stands_in_its_configuration(option, said, tmp_path):
    without, given = (Aggregator(mlp(), folder=tmp_path / "run", **o).folder.configuration for o in ({}, option))
    assert given == without | said
    assert len(given) == len(without) + len(said)


def test_pairs_run_in_worker_processes_too():
    inline, apart = mlp(), mlp()
    Aggregator(inline, "fedavg", "none").fit(pairs(), 1)
    Aggregator(apart, "fedavg", "none").fit(ProcessPool(pairs(), workers=2), 1)
    assert inline.vector.tobytes() == apart.vector.tobytes()


def test_a_codec_that_nobody_gave_holds_the_cohort():
    clients = toy_clients(4) * 40
    assert Aggregator(toy_model(), toy_strategy(), "none").fit(clients, 1).rounds[0].clients_ok == 160
    with pytest.raises(CodecError, match="160 clients does not fit"):
        Aggregator(toy_model(), toy_strategy(), Plain()).fit(clients, 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds_of_64_bits_work(seed):
    model = toy_model()
    Aggregator(model, toy_strategy(), toy_plain(), seed=seed).fit(toy_clients(), 1)
    assert np.isfinite(model.vector).all()


@pytest.mark.parametrize(
    ("change", "says"),
    [({"strategy": "fedprxo"}, "unknown strategy 'fedprxo'"), ({"strategy": FedAvg}, "make one of it, FedAvg(...)"),
     ({"strategy": 3}, "strategy is 3; give a strategy, as FedAvg(lr=0.1), or its name"),
     ({"protection": "pailier"}, "unknown protection 'pailier'"), ({"protection": Plain}, "make one of it, Plain(...)"),
     ({"protection": False}, "protection is False; give"), ({"sampler": "poison"}, "unknown sampler"),
     ({"sampler": "weighted"}, "give Weighted(numbers)"), ({"sampler": 5}, "sampler is 5; give"),
     ({"privacy": 3.0}, "privacy is 3.0; give Privacy("), ({"pki": 3}, "pki is 3; give Pki(folder)"),
     ({"robust": 3}, "robust is 3: give a rule"), ({"group_size": 0, "robust": "median"}, "group_size is 0"),
     ({"vocabulary": ["free", "prize"]}, "vocabulary is ['free', 'prize']; give a vocabulary"),
     ({"trackers": "csv"}, "a tracker is 'csv'; give a list of trackers"), ({"deadline": 0}, "deadline is 0"),
     ({"faults": 0.1}, "faults is 0.1; give"), ({"folder": 3}, "folder is 3; give"),
     ({"folder": ""}, "a path is empty: give one"), ({"pki": ""}, "a path is empty: give one"),
     ({"evaluate": 0.5}, "evaluate is 0.5; give a function"),
     ({"seed": None}, "seed is None, a whole number is needed"),
     ({"seed": -1}, "seed is -1, it must be from 0"), ({"seed": 2**64}, "seed is 18446744073709551616, it must be"),
     ({"seed": True}, "seed is True"), ({"seed": 1.0}, "seed is 1.0"), ({"seed": float("nan")}, "seed is nan"),
     ({"seed": "3"}, "seed is '3'"), ({"cohort": 2.5}, "cohort is 2.5"), ({"cohort": True}, "cohort is True")],
)  # fmt: skip
def test_anything_else_is_refused_with_what_was_expected(change, says):
    with pytest.raises(BadInput, match=re.escape(says)):
        Aggregator(toy_model(), **change)


@pytest.mark.parametrize(
    "make", [Pki, KeptKeys, CsvTracker, load, PartyView.load, lambda path: RunFolder(path, {}, {})]
)
def test_an_empty_path_is_not_this_folder(make):
    with pytest.raises(BadInput, match=r"a path is empty: give one, '[.]' where this folder is meant"):
        make("")


@pytest.mark.parametrize("model", ["spam", None, MLP, np.zeros(3)])
def test_what_is_no_model_is_refused(model):
    with pytest.raises(BadInput, match=r"model is .*give a model"):
        Aggregator(model)


class Table:
    """As pandas has it: columns with names, and by number no row."""

    def __init__(self, *columns):
        self.columns = columns

    def __len__(self):
        return 2

    def __getitem__(self, name):
        raise KeyError(name)

    def __array__(self, dtype=None, copy=None):
        return np.eye(2)


@pytest.mark.parametrize(
    ("clients", "says"),
    [(None, "clients are None; give a list of Client(name, data)"), ({}, "clients are {}"),
     ({"a": 1}, "a: its data are a int"),
     ("bob", "clients are 'bob'"), (np.zeros((3, 2)), "clients are a ndarray"), (InlinePool, "clients are <class"),
     (Table("a", "b"), "clients are a Table; give a list of Client(name, data) or of pairs"),
     ([(Table("a", "b"), [0, 1]), (Table("b", "a"), [0, 1])], "the columns of client-1 are not those of client-0 in"),
     ({"bob": (Table("a", "b"), [0, 1]), "sue": (Table("a", "c"), [0, 1])}, "the columns of sue are not those of bob"),
     ((np.zeros((2, 5)), np.zeros(2)), "clients are one pair (X, y), which is one client: give a list of pairs"),
     ([], "there are 0 clients"), ([3], "client-0 is a int; give Client(name, data), or a pair (X, y)"),
     ([*pairs(1), (np.zeros((2, 5)), np.zeros(3))], "client-1: 2 examples but 3 targets"),
     ([(np.zeros((2, 5)), ["a", "b"])], "client-0: its targets are a list of type <U1 and shape (2,); give arrays"),
     ([([[1.0], [1.0, 2.0]], [0, 1])], "client-0: its features make no array"),
     ([(1.0, 2.0)], "client-0: its features are a float of type float64 and shape ()"),
     ([(np.zeros((2, 5), object), [0, 1])], "an example for each row: cast it with astype(float)"),
     ([(csr_array(np.eye(2)), [0, 1])], "client-0: its features are a sparse matrix"),
     ([(np.ma.masked_equal(np.eye(2), 1), [0, 1])], "client-0: its features have 2 masked values"),
     ([([np.nan, "Alice owes 3"], [0, 1])], "its features are a list of type <U32 and shape (2,)")],
)  # fmt: skip
def test_what_are_no_clients_is_refused(clients, says):
    with pytest.raises(BadInput, match=re.escape(says)):
        Aggregator(toy_model(), protection="none").fit(clients, 1)


def test_pairs_with_names_are_clients_too():
    """A list of pairs, pairs in a `Client`, and a dict of them give one model, inline and in processes."""
    (one, two), names = pairs(2), ("bob", "sue")
    given = [[one, two], [Client("bob", one), Client("sue", two)], dict(zip(names, (one, two), strict=True))]
    pools = [*given, InlinePool(given[2]), ProcessPool(given[2], workers=2)]
    models = {Aggregator(mlp(), protection="none").fit(pool, 1).model_sha256 for pool in pools}
    assert len(models) == 1
    assert repr(Client("bob", one)).startswith("<Client bob: ")


@pytest.mark.parametrize("rounds", [0, -1, 2.0, None, True, 2**32])
def test_rounds_that_cannot_be_counted_are_refused(rounds, tmp_path):
    with pytest.raises(BadInput, match=f"rounds is {rounds}"):
        Aggregator(toy_model(), protection="none", folder=tmp_path / "run").fit(toy_clients(), rounds)
    assert not (tmp_path / "run").exists()


def test_a_client_has_one_name_in_the_log_whatever_goes_wrong(caplog):
    """A fault in training and one in a later step of the same protection are logged under the client's own name."""
    names = []

    class Names(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.ERROR:
                names.append(record.client)

    class Damaging(InlinePool):
        def exchange(self, step, broadcast, inboxes):
            if step.phase == "check":
                inboxes = {client: b"damaged" if client == 4 else inbox for client, inbox in inboxes.items()}
            yield from super().exchange(step, broadcast, inboxes)

    clients = [*toy_clients(6), Client("alice", FailingBags(OSError("no space")))]
    handler = Names()
    logging.getLogger().addHandler(handler)
    try:
        Aggregator(toy_model(), toy_strategy(), Masks(corrupt=0.0)).fit(Damaging(clients), 1)
    finally:
        logging.getLogger().removeHandler(handler)
    assert sorted(names) == ["alice", "client-4"]


class Own(Model):
    """A user's own, whose loss is what the test says."""

    def __init__(self, loss: str = "mean"):
        super().__init__()
        self.layer = nn.Linear(5, 1, rng=np.random.default_rng(0))
        self.how = loss

    def forward(self, x):
        return self.layer(x).reshape(-1)

    def loss(self, batch):
        if self.how == "raises":
            raise KeyError("no such feature")
        outputs = self(*batch.inputs) ** 2
        return outputs.mean() if self.how == "mean" else outputs


class NoLoss(nn.Module):
    pass


def fit(model=None, clients=None, **options):
    return Aggregator(model or Own(), protection="none", **options).fit(clients or pairs(), 1)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: fit(NoLoss()), "model is a NoLoss, which has no loss: derive it from fedlearn.models.base.Model"),
        (lambda: fit(Own("array")), "Own.loss gives an array of shape (8,): return the mean over the batch"),
        (lambda: fit(Own("raises")), "every client of round 1 failed alike: KeyError: 'no such feature'"),
        (lambda: Client("bob", pairs()[0][0]), "bob: its data are a ndarray; give examples, or a pair (X, y)"),
        (lambda: fit(evaluate=lambda model: 0.3), "evaluate returned 0.3: return a dictionary"),
        (lambda: fit(trackers=3), "a tracker is 3; give a list of trackers"),
        (lambda: fit(trackers=[3]), "a tracker is 3; give a list of trackers"),
        (lambda: fit(trackers=[CsvTracker]), "make one of it, CsvTracker(...)"),
        (lambda: Aggregator(Own()).fit(pairs(), 1, progress="yes"), "progress is 'yes': give True, False or None"),
        (lambda: fit(clients=[(x * np.nan, y) for x, y in pairs()]), "or began with such data: lower"),
        (lambda: Aggregator(Own(), protection=Paillier(512, max_overlap=1, insecure_test_key=True)).fit(pairs(), 2),
         "max_overlap is 1, and any two cohorts of 3 of 3 clients share 3 or more"),
    ],
)  # fmt: skip
def test_first_mistakes_are_told_with_their_remedy(wrong, says, caplog):
    with pytest.raises(FedlearnError, match=re.escape(says)):
        wrong()
    assert caplog.text.count("Traceback") <= 1


def test_one_round_shares_its_clients_with_no_other():
    once = Aggregator(mlp(), protection=Paillier(512, max_overlap=1, insecure_test_key=True)).fit(pairs(), 1)
    assert once.counted == 1


def test_one_client_with_bad_data_is_named(caplog):
    bad, good = pairs()[0], pairs()
    history = fit(clients=[*(Client(f"c{i}", Arrays(x.astype(np.float32), y)) for i, (x, y) in enumerate(good)),
                           Client("bob", Arrays((bad[0] * np.nan).astype(np.float32), bad[1]))])  # fmt: skip
    assert history.counted == 1
    assert "bob: 6 of 6 values are NaN" in caplog.text


def test_a_run_folder_takes_text_for_a_path(tmp_path):
    assert RunFolder(str(tmp_path / "run"), {}, {}).path == tmp_path / "run"


def test_by_its_name_a_protection_refuses_what_does_not_fit_unless_few_bits_are_asked_for():
    found = [given.as_protection("masks", 5, clips=clips).codec.overflow for clips in (False, True)]
    assert found == ["refuse", "clip"]
