"""What writes and reads models for other libraries, with arguments and weights that nobody expects."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from fedlearn import exchange
from fedlearn.errors import BadInput
from fedlearn.exchange import EXPORTS, arrays
from fedlearn.modelfile import Described, in_one_file, read_model, weights_file, weights_in, write_model
from fedlearn.models import MLP
from tests.hostile.inputs import LAYOUTS, NO_NUMBERS, NUMBERS, attempt
from tests.hostile.table import Table

pytestmark = pytest.mark.filterwarnings("error")

FOLDER = Path(tempfile.mkdtemp())


def model() -> MLP:
    return MLP((4, 3, 2), rng=np.random.default_rng(0))


ABOUT = Described("digits", model(), ("odd", "even"), None, "", None)
write_model(ABOUT, FOLDER / "run")
(FOLDER / "model.npz").write_bytes(arrays.npz(ABOUT))
TABLE = Table(
    [exchange, arrays],
    ordinary={
        "described": ABOUT, "form": "npz", "target": lambda: Path(tempfile.mkdtemp(dir=FOLDER)) / "new",
        "path": FOLDER / "model.npz", "weights_in/path": FOLDER / "run/model.safetensors",
        "model": model, "state": lambda: model().state_dict(), "where": FOLDER,
        "about": ABOUT, "folder": lambda: Path(tempfile.mkdtemp(dir=FOLDER)) / "new", "run": FOLDER / "run",
    },
)  # fmt: skip
TABLE.calls |= {call.__name__: call for call in (in_one_file, read_model, weights_file, weights_in, write_model)}


@pytest.mark.parametrize("name", TABLE.calls)
def test_ordinary_arguments_are_taken(name):
    if name == "torch_state":
        pytest.importorskip("torch")
    TABLE.check_ordinary(name)


@pytest.mark.parametrize("name", TABLE.calls)
def test_odd_arguments_are_taken_or_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a path that is a word leads to
    TABLE.check_odd(name)


def test_every_form_of_export_is_in_the_table():
    functions = {entry.target.rpartition(":")[2] for entry in EXPORTS.entries.values()}
    assert functions - {"onnx_model"} <= TABLE.calls.keys()


@pytest.mark.parametrize("name", model().state_dict())
def test_odd_weights_are_taken_as_they_are_or_refused(name):
    usual = model().state_dict()
    for kind, change in (LAYOUTS | NUMBERS | NO_NUMBERS).items():
        given, taker = change(usual[name]), model()
        refused = attempt(arrays.take_state, taker, usual | {name: given}, FOLDER)
        if isinstance(refused, BadInput):
            assert kind not in LAYOUTS or kind == "list", f"{kind}: {refused}"
            assert np.array_equal(taker.vector, model().vector), "a part was taken"
        else:
            np.testing.assert_array_equal(taker.state_dict()[name], np.asarray(given, np.float32), err_msg=kind)
