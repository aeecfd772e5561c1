"""Models in the files of other libraries give what they give here, and weights of theirs come in."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import fedlearn
from fedlearn import nn
from fedlearn.autograd import no_grad
from fedlearn.datasets.bags import encode_texts
from fedlearn.datasets.dense import Scale
from fedlearn.datasets.vocabulary import HashedVocabulary
from fedlearn.errors import BadInput
from fedlearn.exchange import EXPORTS, arrays, export
from fedlearn.exchange.arrays import read_state, take_state
from fedlearn.modelfile import Described, in_one_file, read_model, write_model
from fedlearn.models import MLP, CharGRU, CharLSTM, CharRNN, ConvNet, SequenceClassifier, SpamClassifier
from tests.described import description
from tests.scenarios.command import fedlearn as command

RNG = np.random.default_rng(3)
WORDS = HashedVocabulary(50)
TEXTS = ["", "win a free prize", "hello", "", "see you at nine", ""]
INDICES, OFFSETS = encode_texts(TEXTS, np.zeros(len(TEXTS), np.int8), WORDS).inputs
BAGS = {"indices": INDICES.astype(np.int64), "offsets": OFFSETS}
IDS = RNG.integers(0, 20, (4, 7))
PIXELS = RNG.normal(size=(5, 64)).astype(np.float32)
MODELS = {
    "spam": (lambda rng: SpamClassifier(50, rng=rng), BAGS),
    "wide spam": (lambda rng: SpamClassifier(50, 4, rng=rng), BAGS),
    "mlp": (lambda rng: MLP((64, 9, 5, 3), rng=rng), {"rows": PIXELS}),
    "conv": (lambda rng: ConvNet(8, 10, 3, rng=rng), {"rows": PIXELS}),
    "sequence": (lambda rng: SequenceClassifier(20, 3, 6, 5, rng=rng), {"ids": IDS}),
    "sequence of gru": (lambda rng: SequenceClassifier(20, 3, 6, 5, "gru", rng=rng), {"ids": IDS}),
    "char_rnn": (lambda rng: CharRNN(20, 8, 6, rng=rng), {"ids": IDS}),
    "char_gru": (lambda rng: CharGRU(20, 8, 6, 2, rng=rng), {"ids": IDS}),
    "char_lstm": (lambda rng: CharLSTM(20, 8, layers=3, rng=rng), {"ids": IDS}),
}  # fmt: skip


def built(name: str):
    model = MODELS[name][0](np.random.default_rng(0)).eval()
    model.vector[:] += np.random.default_rng(1).normal(0, 0.3, model.vector.size)
    return model


def logits(model, inputs: dict[str, np.ndarray]) -> np.ndarray:
    with no_grad():
        outputs = model(*inputs.values())
    return (outputs[0] if isinstance(outputs, tuple) else outputs).numpy()


def about(model, scale: Scale | None = None) -> Described:
    return Described("spam", model, ("ham", "spam"), WORDS, "", scale)


def in_onnx(content: bytes, inputs: dict[str, np.ndarray]) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime", reason="pip install 'fedlearn[onnx]'")
    return runtime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(["logits"], inputs)[0]


@pytest.mark.parametrize("name", MODELS)
def test_onnx_gives_the_same_logits(name, tmp_path):
    pytest.importorskip("onnx", reason="pip install 'fedlearn[onnx]'")
    model, inputs = built(name), MODELS[name][1]
    export(about(model), "onnx", tmp_path / "model.onnx")
    found = in_onnx((tmp_path / "model.onnx").read_bytes(), inputs)
    assert found.shape == logits(model, inputs).shape
    assert np.allclose(found, logits(model, inputs), rtol=0, atol=1e-5)


def test_an_onnx_file_takes_rows_as_they_stand_and_says_what_it_is(tmp_path):
    onnx = pytest.importorskip("onnx", reason="pip install 'fedlearn[onnx]'")
    model, rows = built("mlp"), PIXELS * 100 + 3
    scale = Scale.of(rows)
    content = EXPORTS.load("onnx")(about(model, scale))
    assert np.allclose(
        in_onnx(content, {"rows": rows}), logits(model, {"rows": scale.applied(rows)}), rtol=0, atol=1e-5
    )
    (entry,) = onnx.load_from_string(content).metadata_props
    assert json.loads(entry.value)["classes"] == ["ham", "spam"]
    assert json.loads(entry.value)["vocabulary"] == {"kind": "hashed", "buckets": 50}


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (nn.Tanh(), "Tanh"),
        (nn.Sequential(nn.Conv2d(1, 3, 3, padding="same"), nn.ReLU()), "Conv2d"),
        (nn.Sequential(nn.Conv2d(1, 3, 3, padding=1, padding_mode="reflect")), "Conv2d"),
        (nn.Sequential(nn.Flatten(2)), "Flatten"),
    ],
)
def test_a_part_without_an_operator_is_named(part, name):
    pytest.importorskip("onnx", reason="pip install 'fedlearn[onnx]'")
    for model in (ConvNet(8, 10, 3), MLP()):
        model.body = part
        with pytest.raises(BadInput, match=f"no ONNX operator is known for .*{name}.*: choose torch or npz"):
            EXPORTS.load("onnx")(about(model))


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"bidirectional": True}, {"batch_first": True}])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_a_recurrent_part_of_another_kind_is_named(kind, options):
    pytest.importorskip("onnx", reason="pip install 'fedlearn[onnx]'")
    model = SequenceClassifier(20, 3, 6, 5)
    model.recurrent = kind(model.recurrent.input_size, model.recurrent.hidden_size, **options)
    if not options:
        assert EXPORTS.load("onnx")(about(model))
        return
    with pytest.raises(BadInput, match=f"no ONNX operator is known for {kind.__name__}"):
        EXPORTS.load("onnx")(about(model))


def test_windows_that_lie_apart_or_reach_beyond_the_edge_are_the_same_in_onnx(tmp_path):
    pytest.importorskip("onnx", reason="pip install 'fedlearn[onnx]'")
    model = built("conv")
    model.body = nn.Sequential(
        nn.Conv2d(1, 3, 3, rng=RNG), nn.MaxPool2d(3, 2, ceil_mode=True), nn.MaxPool2d(2, 1, dilation=2), nn.Flatten()
    )
    model.head = nn.Linear(3, 3, rng=RNG)
    found = in_onnx(EXPORTS.load("onnx")(about(model)), {"rows": PIXELS})
    np.testing.assert_allclose(found, logits(model, {"rows": PIXELS}), rtol=0, atol=1e-5)


def test_a_model_of_ones_own_has_no_graph_of_ours():
    pytest.importorskip("onnx", reason="pip install 'fedlearn[onnx]'")

    class Mine(MLP):
        def forward(self, features):
            return super().forward(features) * 2

    with pytest.raises(BadInput, match="no ONNX graph is known for a Mine: choose torch or npz"):
        EXPORTS.load("onnx")(about(Mine()))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("form", ["npz", "torch", "safetensors"])
def test_weights_go_out_and_come_in(name, form, tmp_path):
    if form == "torch":
        pytest.importorskip("torch", reason="pip install 'fedlearn[torch]'")
    model, path = (
        built(name),
        tmp_path / {"npz": "m.npz", "torch": "m.pt", "safetensors": "new/model.safetensors"}[form],
    )
    if form == "safetensors":
        write_model(about(model), tmp_path / "new")
    else:
        export(about(model), form, path)
    other = MODELS[name][0](np.random.default_rng(9))
    take_state(other, read_state(path), path)
    assert np.array_equal(other.vector, model.vector)


@pytest.mark.parametrize("length", [640, 19280])
def test_a_length_that_looks_like_another_format_does_not_mislead(length, tmp_path):
    """Of a file that begins with 640 or 19,280 the first two bytes are those of a pickle, or of a zip file."""
    weights, path = {"w": np.arange(3, dtype=np.float32)}, tmp_path / "model.safetensors"
    bare = int.from_bytes(save(weights, {"note": ""})[:8], "little")
    path.write_bytes(save(weights, {"note": "x" * (length - bare)}))
    assert int.from_bytes(path.read_bytes()[:8], "little") == length
    assert np.array_equal(read_state(path)["w"], weights["w"])


def damaged(tmp_path: Path, name: str, content: bytes) -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


def npz_of(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def test_weights_that_do_not_fit_are_refused(tmp_path):
    model = built("mlp")
    before = model.vector.copy()
    state = model.state_dict()
    first, *_ = state
    wrong = [
        state | {first: state[first][:-1]},
        state | {"more": np.zeros(3)},
        {name: array for name, array in state.items() if name != first},
        state | {first: np.full_like(state[first], np.nan)},
        state | {first: state[first].astype("U3")},
    ]
    for changed in wrong:
        path = damaged(tmp_path, "m.npz", npz_of(**changed))
        with pytest.raises(BadInput, match=first if "more" not in changed else "more"):
            take_state(model, read_state(path), path)
    assert np.array_equal(model.vector, before)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_files_that_are_no_weights_are_refused(tmp_path, monkeypatch):
    whole = npz_of(a=np.zeros(9))
    pickled = npz_of(a=np.array([{}], object))
    for name, content in {
        "m.npz": whole[:-30],
        "o.npz": pickled,
        "p.npz": b"\x80\x04.",
        "m.txt": b"",
        "q.npz": b"",
    }.items():
        with pytest.raises(BadInput):
            read_state(damaged(tmp_path, name, content))
    with pytest.raises(BadInput, match="cannot read"):
        read_state(tmp_path / "none.npz")
    monkeypatch.setattr(arrays, "LARGEST", 100)
    with pytest.raises(BadInput, match="unpacks to"):
        read_state(damaged(tmp_path, "bomb.npz", whole))
    torch = pytest.importorskip("torch", reason="pip install 'fedlearn[torch]'")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")  # a pickle of a class
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    for path in (tmp_path / "module.pt", tmp_path / "list.pt", damaged(tmp_path, "r.pt", b"\x80\x04cos\nsystem\n."),
                 damaged(tmp_path, "e.pt", b"")):  # fmt: skip
        with pytest.raises(BadInput, match=r"save model.state_dict\(\)"):
            read_state(path)


@pytest.mark.parametrize("name", ["m.torch", "m", "m.bin", "m.npz"])
def test_weights_are_known_by_what_they_are_and_not_by_the_name_of_their_file(name, tmp_path):
    model = built("mlp")
    forms = ["npz"]
    try:
        import torch  # noqa: F401
    except ImportError:
        pass
    else:
        forms.append("torch")
    for form in forms:
        (tmp_path / form).mkdir()
        export(about(model), form, tmp_path / form / name)
        assert set(read_state(tmp_path / form / name)) == set(model.state_dict())
    (tmp_path / name).write_bytes(in_one_file(about(model)))
    assert set(read_state(tmp_path / name)) == set(model.state_dict())


def test_one_file_holds_a_model_and_what_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = ["run", "spam", "--vocabulary", "hashed:64", "--rounds", "1", "--quiet", "--json"]
    plain = [*run, "--protection", "none"]
    assert command(*plain, "--out", "first") == 0
    sha256 = json.loads(capsys.readouterr().out.splitlines()[-1])["model_sha256"]
    assert sha256 == hashlib.sha256(Path("first/model.safetensors").read_bytes()).hexdigest()
    assert command(*run, "--protection", "masks", "--pool", "processes", "--out", "hidden") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["model_sha256"] == sha256  # whatever the protection
    said = description("first")
    assert (said["scenario"], said["classes"]) == ("spam", ["ham", "spam"])
    assert said["model"]["class"] == "fedlearn.models.spam:SpamClassifier"
    assert said["vocabulary"] == {"kind": "hashed", "buckets": 64}
    assert said["tokens"] >= 1
    assert {"rounds": 1, "clients": 3, "seed": 0}.items() <= said["trained"].items()

    alone = Path(shutil.copy("first/model.safetensors", "alone"))
    assert np.array_equal(fedlearn.load(alone).logits(TEXTS), fedlearn.load("first").logits(TEXTS))
    capsys.readouterr()
    answers = []
    for place in ("first", "alone"):
        assert command("predict", "--run", place, "win a prize", "--explain") == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]
    trained_on = []
    for place in ("first", "alone"):
        assert command(*plain, "--from", place, "--out", f"from-{place}") == 0
        trained_on.append(json.loads(capsys.readouterr().out.splitlines()[-1])["model_sha256"])
    assert trained_on[0] == trained_on[1]
    assert command("evaluate", "--run", "alone", "--data", "sample") == 0
    assert command("import", "alone", "--like", "first", "--out", "third") == 0
    assert Path("third/model.safetensors").read_bytes() == alone.read_bytes()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "holds weights alone, as a run from Python keeps them"),
        ({"format": "pt"}, "holds weights alone"),
        ({"fedlearn": "{"}, "alone: what it says of itself cannot be read"),
        ({"fedlearn": "[]"}, "something is missing in it"),
        ({"fedlearn": json.dumps({"model": 1})}, "something is missing in it"),
    ],
)
def test_weights_that_say_nothing_of_themselves_are_refused_in_one_line(metadata, message, tmp_path, capsys):
    path = tmp_path / "alone"
    path.write_bytes(save(built("spam").state_dict(), metadata))
    with pytest.raises(BadInput, match=message):
        read_model(path)
    for asked in (["predict", "--run", path, "hi"], ["run", "spam", "--from", path]):
        assert command(*asked) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_the_command_exports_and_imports(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = ["run", "spam", "--vocabulary", "hashed:64", "--rounds", "1", "--protection", "none", "--quiet"]
    assert command(*run, "--out", "first") == 0
    assert command("export", "--run", "first", "--to", "npz") == 0
    assert command("export", "--run", "first", "--to", "npz") == 2
    assert "first/model.npz exists" in capsys.readouterr().err
    assert command("export", "--run", "first", "--to", "tflite") == 2
    assert command("import", "first/model.npz", "--like", "first", "--out", "second") == 0
    assert np.array_equal(read_model("second").model.vector, read_model("first").model.vector)
    assert (tmp_path / "second/model.safetensors").read_bytes() == (tmp_path / "first/model.safetensors").read_bytes()
    assert command("import", "first/model.npz", "--like", "first", "--out", "second") == 2
    assert command("predict", "--run", "second", "win a prize") == 0
    assert command(*run, "--from", "second", "--out", "third") == 0
