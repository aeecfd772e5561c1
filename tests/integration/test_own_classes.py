"""What a user brings is what runs: classes of a script without a guard, of a notebook cell, of a file, everywhere."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import textwrap
from dataclasses import dataclass

import numpy as np
import pytest

from aggregator import Aggregator
from clients import Client, InlinePool, ProcessPool
from fedlearn.errors import BadInput
from fedlearn.models.mlp import MLP
from fedlearn.protocol import Message, RunPlan
from fedlearn.registry import find, importing_nothing
from fedlearn.strategies import FedAvg
from fedlearn.strategies.base import Strategy
from fedlearn.testing.toys import dense_examples, dense_model
from fedlearn.travel import description, packed, rebuilt, unpacked
from tests.toys import toy_codec, toy_paillier, toy_plain

SCRIPT = """
import sys
from dataclasses import dataclass
import numpy as np
from aggregator import Aggregator
from clients import Client, InlinePool, ProcessPool
from clients.behaviours.base import Behaviour
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.examples import Arrays
from fedlearn.models.mlp import MLP
from fedlearn.secure import Paillier, Plain
from fedlearn.strategies import FedAvg
from fedlearn.testing.toys import dense_examples

print("imported")

@dataclass(frozen=True)
class Halved(FedAvg):
    factor: float = 0.5

    def adjusted(self, gradient, weights, start):
        return self.factor * gradient

class Scaled(MLP):
    def forward(self, features):
        return super().forward(2 * np.asarray(features))

class Own(Arrays):
    pass

class Flips(Behaviour):
    def update(self, update, honest):
        return update

codec = FixedPoint(24, 8.0, 16)
protections = [Plain(codec), Paillier(512, codec, insecure_test_key=True)]
people = [Client(f"c{i}", Own(*vars(dense_examples(4, i)).values())) for i in range(3)]
people.append(Client("m", dense_examples(4, 9), Flips()))
seen = set()
runs = [(InlinePool(people), protections[0]), (ProcessPool(people, workers=2), protections[1])]
if WHOLE:
    runs += [(runs[0][0], protections[1]), (runs[1][0], protections[0])]
for pool, protection in runs:
    model = Scaled((6, 5, 3), rng=np.random.default_rng(0))
    Aggregator(model, Halved(batch_size=2), protection, seed=1).fit(pool, 2)
    seen.add(model.vector.tobytes())
plain = MLP((6, 5, 3), rng=np.random.default_rng(0))
Aggregator(plain, FedAvg(batch_size=2), protections[0], seed=1).fit(InlinePool(people), 2)
print(len(seen), plain.vector.tobytes() in seen)
"""


def run(*command: str, script: str | None = None) -> str:
    done = subprocess.run([sys.executable, *command], input=script, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


OTHERS = ("standard input", "-c", "a cell")


@pytest.mark.parametrize(
    ("how", "whole"),  # whole: under each protection in each pool; else under one in each
    [("a file", True), *((how, False) for how in OTHERS)]
    + [pytest.param(how, True, marks=pytest.mark.slow) for how in OTHERS],
)
def test_a_script_needs_no_guard_and_its_classes_run_in_every_process(tmp_path, how, whole):
    script = SCRIPT.replace("WHOLE", str(whole))
    if how == "a file":
        (tmp_path / "script.py").write_text(script)
        said = run(str(tmp_path / "script.py"))
    elif how == "standard input":
        said = run("-", script=script)
    elif how == "-c":
        said = run("-c", script)
    else:  # as a notebook does: the text of a cell is run in the module that is __main__
        said = run("-c", f"exec(compile({script!r}, 'cell 1', 'exec'), globals())")
    assert said.splitlines() == ["imported", "1 False"]  # no child ran it again; one model, and not FedAvg's


PROTECTED = """
from dataclasses import dataclass
from aggregator import Aggregator
from clients import Client, ProcessPool
from fedlearn.crypto import FixedPoint
from fedlearn.secure import Paillier
from fedlearn.secure.base import OpenerSpec
from fedlearn.secure.paillier import KEY_HOLDER, KeyHolder
from fedlearn.strategies import FedAvg
from fedlearn.testing.toys import dense_examples, dense_model

class Holder(KeyHolder):
    def open(self, step, request):
        print("opened by my own", flush=True)
        return super().open(step, request)

@dataclass(frozen=True)
class Own(Paillier):
    def openers(self, vault):
        (spec,) = super().openers(vault)
        return (OpenerSpec(KEY_HOLDER, "__main__:Holder", spec.arguments),)

class Source:
    def __len__(self):
        return 4

    def __getitem__(self, number):
        return Client(f"made-{number}", dense_examples(3, number))

protection = Own(512, FixedPoint(24, 8.0, 16), insecure_test_key=True)
history = Aggregator(dense_model(), FedAvg(), protection).fit(ProcessPool(Source(), workers=2), 1)
print(history.counted, protection.name)
"""


def test_an_opener_and_a_source_of_clients_of_a_script_run_in_their_processes(tmp_path):
    (tmp_path / "script.py").write_text(PROTECTED)
    assert run(str(tmp_path / "script.py")).split("\n")[:2] == ["opened by my own", "1 own"]


@dataclass(frozen=True)
class Quarter(FedAvg):
    """Importable, and in no registry."""

    def adjusted(self, gradient, weights, start):
        return gradient / 4


def trained(strategy, pool=InlinePool, protection=None, model=None) -> bytes:
    model = model or dense_model()
    people = [Client(f"c{i}", dense_examples(4, i)) for i in range(3)]
    Aggregator(model, strategy, protection or toy_plain(), seed=1).fit(pool(people), 2)
    return model.vector.tobytes()


@pytest.mark.parametrize("protection", [toy_plain(), toy_paillier()], ids=["none", "paillier"])
def test_a_subclass_trains_as_itself_not_as_what_it_inherits_a_name_from(protection):
    own = {trained(Quarter(batch_size=2), pool, protection) for pool in (InlinePool, ProcessPool)}
    assert len(own) == 1
    assert own != {trained(FedAvg(batch_size=2))}


def test_a_class_of_a_function_and_one_of_a_file_go_along(tmp_path):
    class Local(FedAvg):
        def adjusted(self, gradient, weights, start):
            return gradient / 4

    file = tmp_path / "own.py"
    file.write_text(
        textwrap.dedent("""
        from fedlearn.strategies import FedAvg

        class Filed(FedAvg):
            def adjusted(self, gradient, weights, start):
                return gradient / 4
    """)
    )
    expected = {trained(Quarter(batch_size=2))}
    for kind in (Local, find(f"{file}:Filed")):
        assert {trained(kind(batch_size=2), pool) for pool in (InlinePool, ProcessPool)} == expected
    file.unlink()  # workers were given the class, not the file


def test_a_description_rebuilds_the_same_through_bytes():
    for strategy in (Quarter(epochs=3), FedAvg(lr=0.25)):
        assert rebuilt(description(strategy), Strategy) == strategy
        assert unpacked(packed(strategy)) == strategy


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({}, "not a description"),
        ({"class": "fedlearn.models.mlp:MLP", "arguments": {}}, "is no Strategy"),
        ({"class": "fedlearn.strategies.fedavg:FedAvg", "arguments": {"wings": 2}}, "cannot be built"),
        ({"class": "fedlearn.strategies.fedavg:FedAvg", "arguments": {"lr": -1}}, "lr is -1"),
        ({"class": "nowhere:Class", "arguments": {}}, "no 'Class' at 'nowhere'"),
        ({"class": 7, "arguments": {}}, "is no Strategy"),
    ],
)
def test_damaged_descriptions_are_bad_input(said, says):
    with pytest.raises(BadInput, match=says):
        rebuilt(said, Strategy)


def test_numbers_of_numpy_travel_as_numbers_and_arrays_not_at_all():
    said = description(FedAvg(epochs=np.int64(2), lr=np.float64(0.5)))
    assert [type(said["arguments"][name]) for name in ("epochs", "lr")] == [int, float]

    class Holds(FedAvg):
        def arguments(self):
            return {"table": np.ones(3)}

    pool = InlinePool([Client("c", dense_examples(3, 0))])
    pool.open = lambda: pytest.fail("it was started")
    with pytest.raises(BadInput, match="Holds's table is a ndarray"):
        Aggregator(dense_model(), Holds(), toy_plain()).fit(pool, 1)


def test_who_needs_a_process_of_its_own_is_said_in_a_daemonic_one():
    """As under multiprocessing.Pool, whose processes may have no children."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        said = pool.apply(fit_and_say)
    assert said.startswith("BadInput: opener:0 ")
    assert "must be a process of its own, and this one is daemonic" in said
    assert "daemon=False" in said
    assert "\n" not in said


def fit_and_say() -> str:
    people = [Client(f"c{i}", dense_examples(3, i)) for i in range(3)]
    try:
        Aggregator(dense_model(), FedAvg(), toy_paillier()).fit(InlinePool(people), 1)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "it ran"


class Plainest(FedAvg):
    """A class of its own constructor, which is neither frozen nor hashable."""

    __hash__ = None

    def __init__(self, lr, schedule=(1, 2), more=None):
        object.__setattr__(self, "schedule", schedule)
        object.__setattr__(self, "more", more)
        super().__init__(lr=lr, batch_size=2)

    def arguments(self):
        return {"lr": self.lr, "schedule": self.schedule, "more": self.more}


def test_a_plain_class_with_nested_arguments_gets_them_back():
    strategy = Plainest(0.5, (1, (2, 3)), {"a": {"b": [1]}})
    assert trained(strategy) == trained(strategy, ProcessPool) == trained(FedAvg(lr=0.5, batch_size=2))
    seen = rebuilt(RunPlan(**plan_with(description(strategy))).strategy, Strategy)
    assert seen.schedule == (1, (2, 3))
    assert type(seen.more) is type(seen.more["a"]) is dict


def plan_with(strategy):
    empty = {key: {} for key in ("roster", "model", "vocabulary", "protection", "keys", "layout", "kernels")}
    return {**empty, "session": bytes(16), "strategy": strategy, "sampled": 1, "rounds": 1, "seed": 0}


def test_what_arguments_do_not_say_is_refused_by_name():
    strategy = Plainest(0.5)
    object.__setattr__(strategy, "scale", 3)
    with pytest.raises(BadInput, match=r"Plainest\.scale was set after construction"):
        trained(strategy)


def test_an_object_of_a_class_that_was_defined_anew_since_is_refused(monkeypatch):
    strategy = Quarter()
    monkeypatch.setattr(sys.modules[__name__], "Quarter", type("Quarter", (FedAvg,), {"__module__": __name__}))
    with pytest.raises(BadInput, match="Quarter is another class now"):
        trained(strategy)


def test_names_in_a_file_of_others_import_nothing(tmp_path):
    (tmp_path / "trap.py").write_text("raise SystemExit('it ran')")
    sys.path.insert(0, str(tmp_path))
    try:
        for target in ("trap:Class", f"{tmp_path}/trap.py:Class", "antigravity:Class"):
            with importing_nothing(), pytest.raises(BadInput, match="is named by a file of others"):
                find(target)
    finally:
        sys.path.remove(str(tmp_path))
    with importing_nothing():
        assert find("fedlearn.models.mlp:MLP") is MLP


def test_the_plan_names_the_class():
    seen = []

    class Spying(InlinePool):
        def start(self, plan, log=None):
            message = Message.from_bytes(plan)
            seen.append(message.expect(RunPlan, session=message.session))
            super().start(plan, log)

    trained(Quarter(batch_size=2), Spying)
    assert seen[0].strategy["class"] == f"{__name__}:Quarter"
    assert toy_codec() is not None
