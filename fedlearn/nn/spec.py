"""From a module's description back to a module, and what a description does not say of an instance."""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from inspect import signature
from typing import Any

import numpy as np

from fedlearn.autograd.tensor import Tensor
from fedlearn.errors import BadInput
from fedlearn.nn.layers import room_for
from fedlearn.nn.module import Module
from fedlearn.nn.parameter import Parameter
from fedlearn.registry import find
from fedlearn.wording import many

MOST_WEIGHTS = 2**28  # of a model that others describe: a gibibyte of float32

ROWS = (list, tuple, deque)


def build(spec: Mapping[str, Any], rng: np.random.Generator | None = None) -> Any:
    """Construct the module that a `spec()` describes, its initial numbers drawn from `rng`.

    Raises `BadInput` for a description that is damaged or names anything but a Module.
    """
    match spec:
        case {"class": path, "args": [*given], "kwargs": {**named}}:
            kind = _module_class(path)
        case _:
            raise BadInput(f"not a model description: {spec!r:.80}; give what Module.spec() returned")
    args = [_restore(value, rng) for value in given]
    kwargs = {str(name): _restore(value, rng) for name, value in named.items()}
    if "rng" in signature(kind.__init__).parameters:
        kwargs["rng"] = rng
    try:
        module = kind(*args, **kwargs)
    except BadInput:
        raise
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError) as error:
        raise BadInput(f"{path} cannot be constructed as described: {error}") from error
    if "frozen" in spec:
        _freeze(module, spec["frozen"])
    return module


def build_of_others(spec: Mapping[str, Any], numbers: int) -> Any:
    """Same as `build`, for a description that others wrote. Also refuses a model that is too large or too deep."""
    if numbers > MOST_WEIGHTS:
        raise BadInput(f"a model of {many(numbers, 'weight')}: at most {MOST_WEIGHTS:,} are taken")
    try:
        with room_for(numbers):
            return build(spec)
    except RecursionError:
        raise BadInput("the model described has modules within modules, too deep to be built") from None


def _freeze(module: Module, names: Any) -> None:
    """Have these parameters, and no others, want no gradient."""
    parameters = dict(module.named_parameters())
    if not isinstance(names, list | tuple) or not set(map(str, names)) <= set(parameters):
        raise BadInput(f"the description freezes {names!r:.80}: a {type(module).__name__} has not all of these")
    for name, parameter in parameters.items():
        parameter.requires_grad_(name not in names)


def _module_class(path: Any) -> type[Module]:
    if not str(path).isprintable():
        raise BadInput(f"no class {str(path)!r:.80} to build a model from: a name has no such characters")
    try:
        kind = find(str(path))
    except BadInput as error:
        raise BadInput(f"no class {path!r} to build a model from: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, Module)):
        raise BadInput(f"{path!r} is not a Module: a model description names subclasses of fedlearn.nn.Module only")
    return kind


def _restore(value: Any, rng: np.random.Generator | None) -> Any:
    if isinstance(value, Mapping):
        if {"class", "args", "kwargs"} == set(value) - {"frozen"}:
            return build(value, rng)
        return {name: _restore(item, rng) for name, item in value.items()}
    return [_restore(item, rng) for item in value] if isinstance(value, list | tuple) else value


# What an instance has become since it was constructed


def module_differences(model: Module, rebuilt: Module) -> list[str]:
    """In words, one each: how `model` differs from `rebuilt`, which `build(model.spec())` gave. Empty if in nothing.

    Compared are the parts and their classes, the parameters' names, shapes, dtypes, order and whether they want a
    gradient, the numbers of buffers, training mode, and every other attribute. Not compared are what `vector` carries,
    the numbers of the parameters, and random generators. `rebuilt` is put into the mode of `model`.
    """
    rebuilt.train(model.training)
    mine, theirs = dict(model.named_modules()), dict(rebuilt.named_modules())
    found: list[str] = []
    other: list[str] = []  # parts that are another thing altogether: what is within them is not compared
    for name, part in mine.items():
        if any(name.startswith(f"{outer}.") for outer in other):
            continue
        if name not in theirs or type(part) is not type(theirs[name]):
            known = f", constructed anew it is a {type(theirs[name]).__name__}" if name in theirs else ""
            found.append(f"{name} is a {type(part).__name__}{known or ' that was added after construction'}")
            other.append(name)
        else:
            found += _attributes_that_differ(f"{name}." if name else "", part, theirs[name])
    inside = tuple(f"{outer}." for outer in other)
    found += [f"{name} is missing" for name in theirs if name not in mine and not name.startswith(inside or "\0")]
    orders = [[name for name, _ in module.named_parameters()] for module in (model, rebuilt)]
    if not found and orders[0] != orders[1]:
        found.append(f"the parameters are {', '.join(orders[0])}, constructed anew {', '.join(orders[1])}")
    return found


def _attributes_that_differ(prefix: str, part: Module, rebuilt: Module) -> Iterator[str]:
    mine, theirs = _attributes(part), _attributes(rebuilt)
    for name in {**mine, **theirs}:
        if name not in theirs:
            yield f"{prefix}{name} was set after construction"
        elif name not in mine:
            yield f"{prefix}{name} was deleted after construction"
        elif not _same(mine[name], theirs[name]):
            ours, other = _shown(mine[name]), _shown(theirs[name])
            numbers = " (with other numbers)" if ours == other else ""
            yield f"{prefix}{name} is {ours}, constructed anew it is {other}{numbers}"


def _attributes(part: Module) -> dict[str, Any]:
    """The attributes that describe the module, without what a forward pass left behind."""
    return {
        name: value
        for name, value in vars(part).items()
        if name != "_arguments" and not isinstance(value, Module) and not (isinstance(value, Tensor) and value._made)
    }


def _same(a: Any, b: Any, listed: bool = True, seen: frozenset[tuple[int, int]] = frozenset()) -> bool:
    """True where two attributes are the same; `listed` where the parameters within are among the module's."""
    if a is b or (id(a), id(b)) in seen:
        return True
    if isinstance(a, np.random.Generator) or isinstance(b, np.random.Generator):
        return True
    if isinstance(a, ROWS) and isinstance(b, ROWS):  # a description gives lists for all of them
        return len(a) == len(b) and all(_same(x, y, listed, seen) for x, y in zip(a, b, strict=True))
    if type(a) is not type(b):
        return False
    seen |= {(id(a), id(b))}
    if isinstance(a, Module):
        return listed or (not module_differences(a, b) and np.array_equal(a.vector, b.vector))
    if isinstance(a, Parameter) and listed:
        return (a.shape, a.dtype, a.requires_grad) == (b.shape, b.dtype, b.requires_grad)
    if isinstance(a, Tensor):
        return a.requires_grad == b.requires_grad and _same_array(a._data, b._data)
    if isinstance(a, np.ndarray):
        return _same_array(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(_same(a[key], b[key], listed, seen) for key in a)
    if isinstance(a, types.FunctionType):
        return a.__code__ == b.__code__ and _same(_bound(a), _bound(b), False, seen)
    if isinstance(a, types.MethodType):
        return a.__func__ is b.__func__ and (
            isinstance(a.__self__, Module) or _same(a.__self__, b.__self__, False, seen)
        )
    if isinstance(a, partial):
        return _same((a.func, a.args, a.keywords), (b.func, b.args, b.keywords), False, seen)
    if isinstance(a, bool | int | float | complex | str | bytes | set | frozenset | np.generic):
        return bool(a == b or (a != a and b != b))
    return not isinstance(a, type) and _same_state(a, b, seen)


def _same_array(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")


def _bound(function: types.FunctionType) -> list[Any]:
    """The variables that a nested function has captured."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return [cells, function.__defaults__, function.__kwdefaults__]


def _same_state(a: Any, b: Any, seen: frozenset[tuple[int, int]]) -> bool:
    """True where two objects of one class would be pickled alike."""
    try:
        return _same(_state(a), _state(b), False, seen)
    except TypeError:  # what cannot be pickled has nothing to compare
        return True


def _state(thing: Any) -> list[Any]:
    """What pickle would write of an object, its items listed."""
    return [list(part) if isinstance(part, Iterator) else part for part in thing.__reduce_ex__(2)]


def _shown(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray):
        frozen = " that wants no gradient" if isinstance(value, Parameter) and not value.requires_grad else ""
        return f"a {type(value).__name__} {value.dtype} {value.shape}{frozen}"
    return f"{getattr(value, '__name__', None) or repr(value):.60}"
