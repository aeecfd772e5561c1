"""What PyTorch has is here, or left out by name with a reason that docs/engine.md lists."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

import fedlearn
from fedlearn import Tensor, leftout, nn, optim
from fedlearn.nn import functional as F

torch = pytest.importorskip("torch")

DOCS = (Path(__file__).parents[2] / "docs" / "engine.md").read_text()
TABLES = (leftout.TENSORS, leftout.TOP, leftout.NN, leftout.MODULES, leftout.OPTIM)
OF_NO_USE = {"T_destination", "call_super_init", "dump_patches", "get_buffer", "get_parameter", "register_module"}


def classes(module, base):
    return {name for name, kind in vars(module).items() if inspect.isclass(kind) and issubclass(kind, base)}


def functions(module):
    named = {name for name, thing in vars(module).items() if callable(thing) and name[0].islower()}
    inner = ("has_torch", "handle_torch", "boolean_dispatch", "assert_int", "scaled_grouped")
    return {name for name in named if not name.endswith("_") and not name.startswith(inner)}


FACES = {
    "Tensor": (Tensor([[1.0]]), {name for name in dir(torch.Tensor) if name[0] != "_"}, leftout.TENSORS),
    "nn": (nn, classes(torch.nn, torch.nn.Module), leftout.NN),
    "functional": (F, functions(torch.nn.functional), leftout.NN),
    "optim": (optim, classes(torch.optim, torch.optim.Optimizer), leftout.OPTIM),
    "schedules": (
        optim.lr_scheduler,
        {
            name
            for name in vars(torch.optim.lr_scheduler)
            if name.endswith(("LR", "Restarts", "Plateau", "ChainedScheduler"))
        },
        leftout.OPTIM,
    ),
    "Module": (nn.Linear(1, 1), {name for name in dir(torch.nn.Module) if name[0] != "_"} - OF_NO_USE, leftout.MODULES),
}


@pytest.mark.parametrize("face", FACES)
def test_every_name_is_here_or_left_out_for_a_reason(face):
    ours, names, groups = FACES[face]
    absent = [name for name in names if not hasattr(ours, name)]
    assert len(absent) < len(names)
    for name in absent:
        reason = leftout.reason_for(name, groups)
        assert reason, name
        with pytest.raises(AttributeError) as refusal:
            getattr(ours, name)
        assert str(refusal.value).endswith(reason), name


def test_dir_shows_what_is_there():
    for thing in (Tensor([1.0]), nn.Parameter(np.ones(1)), nn.Linear(1, 1)):
        assert all(hasattr(thing, name) for name in dir(thing) if name not in ("mT",))
        assert {"forward", "backward"} & set(dir(thing))


IN_PLACE = {
    "exp_": (),
    "relu_": (),
    "pow_": (3,),
    "cumsum_": (1,),
    "tril_": (),
    "clamp_min_": (4,),
    "lt_": (3,),
    "round_": (),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_forms_in_place_are_the_assignment_that_their_reason_names(name):
    x, y = Tensor(X / 4, requires_grad=True), torch.tensor(X / 4, requires_grad=True)
    got, expected = x * 1, y * 1
    with pytest.raises(AttributeError, match=r"x\[\.\.\.\] = "):
        getattr(got, name)
    getattr(expected, name)(*IN_PLACE[name])
    got[...] = getattr(got, name.removesuffix("_"))(*IN_PLACE[name])
    np.testing.assert_allclose(got.numpy(), expected.detach().numpy())
    if expected.grad_fn is not None and name != "lt_":
        (got * got).sum().backward()
        (expected * expected).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy())


@pytest.mark.parametrize("group", [group for table in TABLES for group in table], ids=lambda group: group.title[:30])
def test_the_docs_list_every_reason(group):
    assert f"| {group.title} | {group.reason} |" in DOCS


@pytest.mark.parametrize(
    ("owner", "name", "says"),
    [
        (Tensor(1.0), "cuda", "one device"),
        (Tensor(1.0), "register_hook", "grad"),
        (Tensor(1.0), "median", "NumPy"),
        (Tensor(1.0), "addmm", "compose"),
        (Tensor(1.0), "where", "ops.where"),
        (Tensor(1.0), "rot90", "flip"),
        (Tensor(1.0), "multiply", "operators"),
        (nn.Linear(1, 1), "register_forward_hook", "forward"),
        (nn, "TransformerEncoder", "no scenario"),
        (F, "ctc_loss", "ops compose"),
        (optim, "LBFGS", "Adam"),
        (optim.lr_scheduler, "CyclicLR", "OneCycleLR"),
        (optim.lr_scheduler, "ChainedScheduler", "multiply"),
        (fedlearn, "manual_seed", "rng"),
        (fedlearn, "zeros", "np.zeros"),
    ],
)
def test_asking_for_it_says_the_reason(owner, name, says):
    assert not hasattr(owner, name)
    with pytest.raises(AttributeError, match=says):
        getattr(owner, name)


def test_arguments_that_are_left_out_are_refused_with_the_reason():
    with pytest.raises(TypeError, match=r"ReLU\(\) takes no inplace: no op writes"):
        nn.ReLU(inplace=True)
    p = [nn.Parameter(1.0)]
    for make, says in (
        (lambda: nn.Linear(1, 1, dtype=np.float64), r"Linear\(\) takes no dtype: call .double"),
        (lambda: nn.Conv2d(1, 1, 1, device="cpu"), "one device"),
        (lambda: nn.LeakyReLU(inplace=True), "no op writes"),
        (lambda: nn.MaxPool2d(2, return_indices=True), "unpools"),
        (lambda: nn.Embedding(2, 2, max_norm=1.0), "while it is read"),
        (lambda: nn.LSTM(1, 1, proj_size=1), "no scenario"),
        (lambda: optim.SGD(p, foreach=True), r"SGD\(\) takes no foreach: there is one implementation"),
        (lambda: optim.Adam(p, fused=True), "one implementation"),
    ):
        with pytest.raises(TypeError, match=says):
            make()
    with pytest.raises(TypeError, match="leave it out"):
        nn.Tanh("word")


X = np.arange(1.0, 13).reshape(3, 4)
F32 = {Tensor: np.float32, torch.Tensor: torch.float32}
METHODS = {
    "sums in another precision": lambda x: x.sum(1, dtype=F32[type(x)]) + x.mean(dim=1, dtype=F32[type(x)]),
    "products in another precision": lambda x: x.cumsum(1, dtype=F32[type(x)]) * x.prod(dtype=F32[type(x)]),
    "sizes by name": lambda x: x[:, :1].expand(size=(-1, 4)) * x.repeat(repeats=(2, 1))[:3],
    "dim": lambda x: x.dim(),
    "numel": lambda x: x.numel() + x.nelement(),
    "contiguous": lambda x: x.t().contiguous(),
    "to a tensor": lambda x: x.to(x.float()).type_as(x) * 2,
    "cpu": lambda x: x.cpu().to("cpu"),
    "int": lambda x: x.int() + 1,
    "bool": lambda x: (x - 1).bool(),
    "half": lambda x: x.half(),
    "mm": lambda x: x.mm(x.t()),
    "bmm": lambda x: x.reshape(2, 2, 3).bmm(x.reshape(2, 3, 2)),
    "mv": lambda x: x.mv(x[0]),
    "comparisons": lambda x: x.eq(2.0) | x.ne(3.0) & x.lt(4.0) & x.le(5.0) | x.gt(6.0) & x.ge(7.0),
    "reciprocal": lambda x: x.reciprocal() + x.rsqrt(),
    "lerp": lambda x: x.lerp(x * x, 0.3),
    "second names": lambda x: x.absolute() + x.arctan2(x * x) + x.positive() * x.swapdims(0, 1).t(),
    "bytes": lambda x: x.nbytes + x.itemsize + x.element_size() + x.ndimension() + x.is_cpu,
    "kinds": lambda x: [x.is_floating_point(), x.is_complex(), x.is_signed(), x.bool().is_signed()],
    "short": lambda x: x.short() + x.char() + x.byte(),
    "argwhere": lambda x: (x - 1).argwhere(),
    "clamp_min": lambda x: x.clamp_min(3) * x.clamp_max(8),
    "finite": lambda x: x.isfinite() | x.isnan() | x.isinf(),
    "nonzero": lambda x: (x - 1).nonzero(),
    "clamp_": lambda x: (x * 1).clamp_(2, 5) + (x * 1).clamp_(max=3),
    "expand_as": lambda x: x[:1].expand_as(x) * x,
    "view_as": lambda x: x.view_as(x.t()).reshape_as(x) + x,
    "chunk": lambda x: x.chunk(2, dim=1)[1][:2] * x.chunk(2)[0][:, :2],
    "chunk, the last shorter": lambda x: x.chunk(2, dim=0)[1],
    "unbind": lambda x: x.unbind(1)[2] * x.unbind()[0][1],
    "narrow": lambda x: x.narrow(1, 1, 2),
    "select": lambda x: x.select(1, -1) * x.select(dim=1, index=0),
    "var": lambda x: x.var(1, unbiased=False) + x.std(dim=1, unbiased=True),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_that_pytorch_alone_has(name):
    run = METHODS[name]
    x, y = Tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    got, expected = run(x), run(y)
    if not torch.is_tensor(expected) or not expected.requires_grad:
        np.testing.assert_array_equal(np.asarray(got.numpy() if isinstance(got, Tensor) else got), expected)
        return
    np.testing.assert_allclose(got.numpy(), expected.detach().numpy())
    assert str(got.dtype) == str(expected.dtype).removeprefix("torch.")
    got.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy())


def test_slices_by_number_and_refusals():
    x, y = Tensor(X, requires_grad=True), torch.tensor(X, requires_grad=True)
    np.testing.assert_array_equal(x.index_select(1, [2, 0]).numpy(), y.index_select(1, torch.tensor([2, 0])).detach())
    for wrong in (
        lambda: x.narrow(1, 3, 2),
        lambda: x.select(2, 0),
        lambda: x.chunk(0),
        lambda: x.mm(X[0]),
        lambda: x.to("cuda:0"),
        lambda: x.to("nonsense"),
        lambda: x.lerp(np.ones(5), 0.5),
    ):
        with pytest.raises(fedlearn.errors.BadInput):
            wrong()


def test_another_device_is_refused_by_name():
    for whole in (Tensor(X), nn.Linear(1, 1)):
        with pytest.raises(fedlearn.errors.BadInput, match="no device 'cuda:0'"):
            whole.to("cuda:0")
        assert whole.to("cpu") is whole
