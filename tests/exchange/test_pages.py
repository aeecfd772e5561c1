"""docs/exchange.md is true, and what its table says of PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedlearn.autograd import no_grad
from fedlearn.models import MLP, CharGRU, ConvNet, SequenceClassifier, SpamClassifier
from tests.scenarios.command import fedlearn as command

PAGE = (Path(__file__).parents[2] / "docs" / "exchange.md").read_text(encoding="utf-8")
PROGRAMS = [block.split("```")[0] for block in PAGE.split("```python\n")[1:]]
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("form", "needs", "most"), [("torch", "torch", 1e-6), ("onnx", "onnxruntime", 1e-5)])
def test_the_page_runs_as_it_stands(form, needs, most, tmp_path, monkeypatch):
    pytest.importorskip(needs, reason=f"pip install 'fedlearn[{form}]'")
    pytest.importorskip(form, reason=f"pip install 'fedlearn[{form}]'")
    monkeypatch.chdir(tmp_path)
    assert command("run", "spam", "--protection", "none", "--quiet", "--out", "mine") == 0
    assert command("export", "--run", "mine", "--to", form) == 0
    (program,) = [program for program in PROGRAMS if f"import {needs}" in program]
    found: dict = {}
    exec(program, found)
    assert found["difference"] <= most


def modules(nn) -> dict:
    """Of the page's table: our model, the parts of PyTorch's, its forward pass, and what goes in."""
    ids, pixels = RNG.integers(0, 20, (4, 7)), RNG.normal(size=(5, 64)).astype(np.float32)
    bags = (np.array([1, 2, 9, 2, 4]), np.array([0, 2, 2]))
    mlp = {"body": nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))}
    conv = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    )  # fmt: skip
    sequence = {"embedding": nn.Embedding(20, 4), "recurrent": nn.LSTM(4, 8), "head": nn.Linear(8, 3)}
    chars = {"embedding": nn.Embedding(20, 16), "recurrent": nn.GRU(16, 8), "head": nn.Linear(8, 20)}
    return {
        "spam": (SpamClassifier(20, 4), {"words": nn.EmbeddingBag(20, 4, mode="mean"), "head": nn.Linear(4, 1)},
                 lambda m, i, o: m.head(m.words(i, o)).squeeze(-1), bags),
        "mlp": (MLP(), mlp, lambda m, x: m.body(x), (pixels,)),
        "conv": (ConvNet(), {"body": conv, "head": nn.Linear(64, 10)},
                 lambda m, x: m.head(m.body(x.reshape(-1, 1, 8, 8))), (pixels,)),
        "sequence": (SequenceClassifier(20, 3, 4, 8), sequence,
                     lambda m, i: m.head(m.recurrent(m.embedding(i.T))[0][-1]), (ids,)),
        "chars": (CharGRU(20, 8, 16), chars, lambda m, i: m.head(m.recurrent(m.embedding(i.T))[0]), (ids,)),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["spam", "mlp", "conv", "sequence", "chars"])
def test_pytorchs_modules_of_the_table_give_the_same_logits(name):
    torch = pytest.importorskip("torch", reason="pip install 'fedlearn[torch]'")
    ours, parts, forward, inputs = modules(torch.nn)[name]
    ours.eval()
    theirs = torch.nn.Module()
    for part, module in parts.items():
        setattr(theirs, part, module)
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in ours.state_dict().items()})
    with torch.no_grad(), no_grad():
        expected = forward(theirs, *map(torch.from_numpy, inputs)).numpy()
        outputs = ours(*inputs)
    found = (outputs[0] if isinstance(outputs, tuple) else outputs).numpy()
    assert np.allclose(found, expected, rtol=0, atol=1e-6)
    theirs.load_state_dict({name: tensor * 2 for name, tensor in theirs.state_dict().items()})
    before = ours.vector.copy()
    ours.load_state_dict(theirs.state_dict())
    assert np.array_equal(ours.vector, 2 * before)
