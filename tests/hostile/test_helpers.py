"""Initial values, what is done to parameters together, containers and a module's methods, with odd arguments.

Each does what it says with finite numbers or raises a typed error. The tables are made of the faces.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedlearn import Tensor, nn
from fedlearn.errors import BadInput
from tests.hostile.inputs import ODD_ARGUMENTS, in_one_line, public_functions

pytestmark = pytest.mark.filterwarnings("error")

ODD = [
    *ODD_ARGUMENTS,
    np.zeros(3),
    [None],
    [[1], [2, 3]],
    ["word"],
    np.tanh,
    {1: nn.ReLU()},
    Tensor(np.zeros(3)),
    Tensor(np.array([1, 2])),
    Tensor(np.zeros((2, 0))),
]
NOT_OF_USERS = {"left_blank"}
FUNCTIONS = {
    f"{module.__name__}.{name}": function
    for module in (nn.init, nn.utils)
    for name, function in public_functions(module).items()
    if name not in NOT_OF_USERS
}


def parameters() -> list[nn.Parameter]:
    made = [nn.Parameter(np.ones((3, 4))), nn.Parameter(np.ones(2))]
    for p in made:
        p.grad = np.full(p.shape, 2.0)
    return made


ORDINARY: dict[str, Callable[[], Any]] = {  # by the name of a parameter that has no default
    "tensor": lambda: nn.Parameter(np.ones((3, 4))),
    "val": lambda: 2.0,
    "nonlinearity": lambda: "relu",
    "parameters": parameters,
    "max_norm": lambda: 1.0,
    "clip_value": lambda: 1.0,
    "vec": lambda: np.zeros(14),
}


def ordinary(function: Callable[..., Any]) -> dict[str, Any]:
    given = {}
    for parameter in inspect.signature(function).parameters.values():
        known = parameter.name in ORDINARY or parameter.default is not parameter.empty
        assert known, f"say what an ordinary {parameter.name} is"
        if parameter.name != "rng":
            missing = parameter.default is parameter.empty
            given[parameter.name] = ORDINARY[parameter.name]() if missing else parameter.default
    return given


@pytest.mark.parametrize("name", FUNCTIONS)
def test_odd_arguments_of_functions(name):
    function = FUNCTIONS[name]
    function(**ordinary(function))
    for argument, usual in ordinary(function).items():
        for odd in ODD if not isinstance(usual, bool) else ODD_ARGUMENTS:
            given = ordinary(function) | {argument: odd}
            try:
                function(**given)
            except BadInput as error:
                in_one_line(error)
                continue
            for value in given.values():
                for tensor in value if isinstance(value, list) else [value]:
                    assert not isinstance(tensor, Tensor) or not np.isnan(tensor.numpy()).any(), odd


def linear() -> nn.Linear:
    return nn.Linear(1, 1, rng=np.random.default_rng(0))


METHODS: dict[str, Callable[[Any], Any]] = {
    "Sequential": lambda odd: nn.Sequential(nn.ReLU(), odd),
    "ModuleList": lambda odd: nn.ModuleList(odd),
    "ModuleDict": lambda odd: nn.ModuleDict(odd),
    "ParameterList": lambda odd: nn.ParameterList(odd),
    "Parameter": lambda odd: nn.Parameter(odd),
    "append": lambda odd: nn.Sequential(nn.ReLU()).append(odd),
    "extend": lambda odd: nn.Sequential(nn.ReLU()).extend(odd),
    "register_buffer": lambda odd: linear().register_buffer("kept", odd),
    "a buffer's name": lambda odd: linear().register_buffer(odd, np.zeros(1)),
    "apply": lambda odd: linear().apply(odd),
    "get_submodule": lambda odd: linear().get_submodule(odd),
    "to": lambda odd: linear().to(odd),
    "train": lambda odd: nn.Dropout().train(odd),
    "load_state_dict": lambda odd: linear().load_state_dict(odd),
    "build": lambda odd: nn.build(odd),
    "a parameter": lambda odd: setattr(linear(), "weight", odd),
    "a part": lambda odd: setattr(nn.ModuleList([nn.ReLU()]), "0", odd),
}


@pytest.mark.parametrize("name", METHODS)
def test_odd_arguments_of_modules(name):
    for odd in ODD:
        try:
            METHODS[name](odd)
        except BadInput as error:
            in_one_line(error)
        except TypeError:
            assert name == "apply", odd  # what the function itself says


def test_a_module_within_itself_is_refused():
    model = nn.Sequential(nn.Linear(1, 1))
    model[0].owner = model
    with pytest.raises(BadInput, match=r"0\.owner is a Sequential within itself"):
        list(model.parameters())


@pytest.mark.parametrize("value", [None, "1", [None, 1.0], ["1", "2"], np.array(["1", "2"]), np.zeros(2, object), 1j])
def test_what_is_no_number_is_not_written(value):
    t = Tensor(np.ones(2))
    with pytest.raises(BadInput):
        t[...] = value
    assert t.tolist() == [1, 1]


@pytest.mark.parametrize("value", [1e150, -1e300, np.full(2, 1e150), 2**70])
def test_what_float32_does_not_hold_is_written_as_pytorch_writes_it(value):
    """Infinite where it is, and without a warning of NumPy's; a whole number that is no float64 is refused."""
    t = Tensor(np.ones(2, np.float32))
    t[...] = value
    with np.errstate(over="ignore"):
        assert t.tolist() == np.full(2, value).astype(np.float32).tolist()
    t.data = value
    ints = Tensor(np.ones(2, np.int64))
    with pytest.raises(BadInput, match=r"beyond 2\^63"):
        ints[...] = value
    assert ints.tolist() == [1, 1]


@pytest.mark.parametrize("compare", [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge])
def test_a_number_that_no_float_holds_is_compared_with_nothing(compare):
    with pytest.raises(BadInput, match="too large"):
        compare(Tensor(np.ones(2, np.float32)), 2**2100)


def test_a_result_that_no_memory_holds_is_refused():
    with pytest.raises(BadInput, match="Unable to allocate"):
        Tensor(np.ones(3)).repeat(2**40)


def test_a_number_that_no_float_holds_is_not_written():
    t = Tensor(np.ones(2, np.float32))
    with pytest.raises(BadInput, match="does not go into"):
        t[...] = 2**2100
    assert t.tolist() == [1, 1]
