"""Names, and classes of a user's own, become classes."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from fedlearn.errors import BadInput
from fedlearn.registry import Registry, find, target_of
from fedlearn.strategies import STRATEGIES
from fedlearn.strategies.fedavg import FedAvg

ROOT = Path(__file__).parents[1]
OWN = """
from dataclasses import dataclass
from fedlearn.strategies.fedavg import FedAvg

@dataclass(frozen=True)
class Mine(FedAvg):
    mu: float = 0.5

    @classmethod
    def from_spec(cls, argument):
        return cls() if argument is None else cls(mu=float(argument))
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    return path


def test_a_file_of_the_users_own_is_read_once_and_found_again(own):
    kind = STRATEGIES.load(f"{own}:Mine")
    assert kind.__name__ == "Mine"
    assert STRATEGIES.load(f"{own}:Mine") is kind
    assert find(target_of(kind)) is kind
    assert pickle.loads(pickle.dumps(kind(mu=2.0))) == kind(mu=2.0)


def test_a_changed_file_is_another_class(own):
    before = find(f"{own}:Mine")
    own.write_text(OWN.replace("0.5", "0.75"))
    assert find(f"{own}:Mine")().mu == 0.75
    assert before().mu == 0.5


def test_what_follows_the_class_is_its_argument(own):
    assert STRATEGIES.parse(f"{own}:Mine").mu == 0.5
    assert STRATEGIES.parse(f"{own}:Mine:3").mu == 3.0
    assert STRATEGIES.split("fedprox:mu=0.1") == ("fedprox", "mu=0.1")
    assert STRATEGIES.split("fedprox") == ("fedprox", None)
    assert STRATEGIES.split("a.b:C.D:x:y") == ("a.b:C.D", "x:y")


@pytest.mark.parametrize("spec", ["fedavg:foo", "fedavg:", "{own}:Mine:0.1"])
def test_an_argument_that_nobody_reads_is_refused(own, spec):
    with pytest.raises(BadInput, match=r"strategy .*(fedavg|Mine) takes no argument, it was given '.*': leave it out"):
        STRATEGIES.load(spec.format(own=own))


def test_an_installed_module_is_found_by_its_name():
    assert STRATEGIES.load("fedlearn.strategies.fedavg:FedAvg") is FedAvg
    assert target_of(FedAvg) == "fedlearn.strategies.fedavg:FedAvg"


def test_names_can_be_added_from_outside(own):
    registry = Registry("strategy", {"fedavg": ("fedlearn.strategies.fedavg:FedAvg", "the mean")})
    registry.add("mine", find(f"{own}:Mine"), "my own")
    assert registry.load("mine").__name__ == "Mine"
    assert registry.entries["mine"].summary == "my own"
    registry.add("mine", find(f"{own}:Mine"))  # the same once more is no mistake
    with pytest.raises(BadInput, match=r"strategy 'fedavg' is fedlearn.* already: choose another name"):
        registry.add("fedavg", f"{own}:Mine")
    with pytest.raises(BadInput, match="without blanks"):
        registry.add("a:b", f"{own}:Mine")


def test_installed_packages_bring_names_by_entry_points(tmp_path, own):
    metadata = tmp_path / "brought-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: brought\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[fedlearn.strategy]\nbrought = mine:Mine\n")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from fedlearn.strategies import STRATEGIES as S;"
        "print(S.load('brought').__name__, S.entries['brought'].summary, list(S.entries)[0])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Mine", "from", "package", "brought", "fedavg"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("fedagv", "unknown strategy 'fedagv'.*did you mean 'fedavg'.*or give file.py:Class"),
        ("nowhere.at.all:Class", "no 'Class' at 'nowhere.at.all'"),
        ("fedlearn.strategies.fedavg:Nothing", "no 'Nothing' at"),
        ("missing.py:Class", "cannot read missing.py .*give a Python file"),
    ],
)
def test_what_cannot_be_found_is_said_in_one_line(spec, says):
    with pytest.raises(BadInput, match=says):
        STRATEGIES.load(spec)


def test_a_file_that_does_not_run_is_bad_input(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0")
    with pytest.raises(BadInput, match=r"broken.py cannot be imported: ZeroDivisionError"):
        find(f"{broken}:Class")


def test_a_folder_that_shadows_one_of_our_packages_is_named(tmp_path):
    (tmp_path / "clients").mkdir()
    (tmp_path / "clients" / "__init__.py").write_text("")
    script = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}];"
        "sys.meta_path[:] = [finder for finder in sys.meta_path if 'editable' not in repr(finder)];"  # as if installed
        "from fedlearn.registry import find; find('clients.inline:InlinePool')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert f"clients at {tmp_path}/clients/__init__.py is not fedlearn's" in done.stderr
