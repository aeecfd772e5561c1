"""Checks at the door: arguments by their annotations, arrays by their numbers and their rank."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import cache, wraps
from numbers import Number
from typing import Any, ParamSpec, TypeVar, get_origin

import numpy as np

from fedlearn.configured import plain_value
from fedlearn.errors import BadInput, FedlearnError, ShapeError
from fedlearn.wording import many

P = ParamSpec("P")
R = TypeVar("R")
LEFT_TO_THE_FUNCTION = (np.ndarray, Iterable, Sequence)
REAL = "biuf"  # the kinds of dtypes whose values are real numbers; truth values count as 0 and 1


def takes_plain(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose arguments are checked by their annotations, as `make_plain` checks those of a dataclass.

    Arrays and lists are left to the function itself. Raises `BadInput` that names the argument.
    """
    signature = inspect.signature(function)

    @cache
    def kinds() -> dict[str, Any]:
        scope = vars(sys.modules[function.__module__])
        named = {name: kind for name, kind in function.__annotations__.items() if name != "return"}
        found = {name: eval(kind, scope) if isinstance(kind, str) else kind for name, kind in named.items()}
        return {name: kind for name, kind in found.items() if (get_origin(kind) or kind) not in LEFT_TO_THE_FUNCTION}

    @wraps(function)
    def checked(*args: P.args, **options: P.kwargs) -> R:
        given = signature.bind(*args, **options)
        for name, kind in kinds().items():
            if name in given.arguments:
                given.arguments[name] = plain_value(name.replace("_", " "), given.arguments[name], kind)
        return function(*given.args, **given.kwargs)

    return checked


def rows_of_numbers(name: str, values: Any) -> np.ndarray:
    """Finite numbers (n, d) with n above 0, of the type that they have; raises `BadInput` or `ShapeError` else."""
    array = _checked(name, as_array(name, values), REAL, "numbers", 2)
    if not (len(array) and np.isfinite(array).all()):
        raise BadInput(f"{name} have no rows, or hold a number that is not finite: give rows of finite numbers")
    return array


def members(name: str, values: Any, kind: type[R]) -> list[R]:
    """All of several things, each of which is of this class; raises `BadInput` else."""
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | np.ndarray):
        raise BadInput(f"{name} are {values!r:.60}: give a list of {kind.__name__}")
    found = list(values)
    for value in found:
        if not isinstance(value, kind):
            raise BadInput(f"of {name} one is {value!r:.60}, a {kind.__name__} is needed")
    return found


def flag(name: str, value: Any) -> bool:
    """True or False; raises `BadInput` for text, or any other thing that is always true.

    0, 1 and None are taken for False, True and False, since people write them.
    """
    if value is True or value is False or value is None:
        return bool(value)
    if isinstance(value, int | np.bool_ | np.integer) and value in (0, 1):
        return bool(value)
    raise BadInput(f"{name} is {value!r:.60}: give True or False")


def check_flags(called: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> None:
    """Check each argument of a function or a class that is annotated as bool by `flag`, which raises `BadInput`."""
    for place, name in flags_of(called):
        if name in options or place < len(args):
            flag(f"{called.__name__}'s {name}", options[name] if name in options else args[place])


@cache
def flags_of(called: Callable[..., Any]) -> list[tuple[int, str]]:
    """Place and name of the arguments that are annotated as bool; of a class, its constructor's."""
    parameters = list(inspect.signature(called).parameters.values())
    places = [sys.maxsize if p.kind is p.KEYWORD_ONLY else i for i, p in enumerate(parameters)]
    return [(place, p.name) for place, p in zip(places, parameters, strict=True) if p.annotation in (bool, "bool")]


def generator(rng: Any) -> np.random.Generator:
    """The generator to draw from; None is one of fresh entropy."""
    if rng is None:
        return np.random.default_rng()
    if not isinstance(rng, np.random.Generator):
        raise BadInput(f"rng is {rng!r:.60}: give a generator, as np.random.default_rng(0)")
    return rng


def listed(values: Any, what: str) -> Iterable[Any]:
    """Several things, as they are given; raises `BadInput` for no list, and for what only looks like one.

    Refused are a single text, which would be gone through by its letters, a dictionary or a table, by the names of its
    columns, and an array of other than one axis.
    """
    if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping) or getattr(values, "ndim", 1) != 1:
        shown = f"{values!r:.40}" if isinstance(values, str | bytes | Number) else f"a {type(values).__name__}"
        raise BadInput(f"{shown} where a list of {what} is meant: give a list, even of one, or one column of a table")
    return values


def in_order(values: Any, what: str) -> list[Any]:
    """The same as a list; raises `BadInput` for a set as well, which has no order."""
    if isinstance(values, Set):
        raise BadInput(f"a {type(values).__name__} where a list of {what} is meant: a set has no order, give a list")
    return list(listed(values, what))


def as_array(name: str, values: Any) -> np.ndarray:
    """The value as an array, of another library's too.

    Raises `ShapeError` for nested lists of unequal length, and `BadInput` for masked values and for what NumPy cannot
    read.
    """
    if type(values) is np.ndarray:
        return values
    refuse_masked(name, values)
    try:
        return np.asarray(values)
    except FedlearnError:
        raise
    except ValueError as error:
        raise ShapeError(f"{name} are nested lists of unequal length: {error}") from None
    except (TypeError, RuntimeError) as error:
        kind = type(values).__name__
        raise BadInput(f"{name} are in a {kind} that NumPy cannot read ({error}): cast it to float32") from None


def refuse_masked(name: str, values: Any) -> None:
    """Raise `BadInput` for masked values, of `numpy.ma`, also in a list of arrays: they would be read like others."""
    if type(values) in (list, tuple):
        arrays = values if values and isinstance(values[0], np.ndarray) else ()  # numbers are not looked at one by one
    else:
        arrays = (values,)
    count = sum([np.count_nonzero(array.mask) for array in arrays if isinstance(array, np.ma.MaskedArray)])
    if count:
        hidden = many(int(count), "masked value")
        raise BadInput(f"{name} have {hidden}: put a number in their place with filled(), or leave them out")


def real_array(name: str, values: Any, ndim: int | None = None, nan: bool = False) -> np.ndarray:
    """Numbers as float64; raises `BadInput` for what is none, or nan unless allowed, `ShapeError` for another rank."""
    array = _checked(name, as_array(name, values), REAL, "numbers", ndim).astype(np.float64, copy=False)
    if not nan and np.isnan(array).any():
        where = int(np.flatnonzero(np.isnan(array))[0])
        raise BadInput(f"{name} number {where} is nan, which is neither above nor below anything: leave it out")
    return array


def whole_array(name: str, values: Any, ndim: int | None = None, below: int | None = None) -> np.ndarray:
    """Whole numbers as int64, 0 <= number < below where that is given; raises `BadInput` or `ShapeError` else.

    Floats that are whole, as float32 labels are, will do.
    """
    array = _checked(name, as_array(name, values), "iuf", "whole numbers", ndim)
    if array.dtype.kind == "f" and not ((np.abs(array) < 2**63).all() and np.array_equal(array, np.floor(array))):
        raise BadInput(f"{name} hold a number that is not whole, or over 2^63: whole numbers are needed")
    if array.size and below is not None and not 0 <= array.min() <= array.max() < below:
        raise BadInput(f"{name} go from {array.min():g} to {array.max():g}: they must be from 0 to {below - 1}")
    return array.astype(np.int64, copy=False)


def taken(name: str, places: Any, count: int) -> np.ndarray:
    """Places to take out of `count` things, int64 (k,): whole numbers, from the end where negative, or a truth each.

    Raises `BadInput` for others.
    """
    array = as_array(name, places if isinstance(places, np.ndarray | Sequence) else _all_of(name, places))
    try:
        found: np.ndarray = np.arange(count)[array if array.size else array.astype(np.int64)]
        if found.ndim != 1:
            raise ValueError(f"they have {many(found.ndim, 'axis', 'axes')}")
        return found
    except (IndexError, TypeError, ValueError) as error:
        raise BadInput(f"{name} {places!r:.60} are no places among {count}: {error}") from None


def _all_of(name: str, values: Any) -> list[Any]:
    try:
        return list(values)
    except TypeError:
        raise BadInput(f"{name} are {values!r:.60}: give whole numbers") from None


def same_length(**arrays: np.ndarray) -> int:
    """Their common length; raises `ShapeError` for arrays of different lengths, `BadInput` where there is nothing."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ShapeError(f"{' and '.join(f'{n:,} of {name}' for name, n in lengths.items())}: give one for each")
    length = next(iter(lengths.values()))
    if not length:
        raise BadInput(f"no {' and no '.join(lengths)}: give at least one")
    return length


def _checked(name: str, array: np.ndarray, kinds: str, what: str, ndim: int | None) -> np.ndarray:
    if array.dtype.kind not in kinds:
        raise BadInput(f"{name} are of type {array.dtype}, {what} are needed")
    if ndim is not None and array.ndim != ndim:
        raise ShapeError(f"{name} have shape {array.shape}: {many(ndim, 'axis is', 'axes are')} needed")
    return array
