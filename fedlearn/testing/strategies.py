"""Checks that every strategy must pass, whatever its algorithm is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.protocol.parties import client_name
from fedlearn.seeding import LocalRandom, local_random
from fedlearn.strategies.base import LocalUpdate, RoundContext, State, Strategy
from fedlearn.testing.toys import dense_examples, dense_model, messages, plain_data, same_bits, word_model
from fedlearn.training.flat import FlatModel
from fedlearn.training.narrow import NarrowModel
from fedlearn.training.stacks import stack
from fedlearn.wording import many

CLIENTS, SEED = 5, 11
DAMAGED: tuple[object, ...] = (float("nan"), float("-inf"), -1, 10**400, "what", None, [1], {})


def check_strategy(strategy: Strategy) -> None:
    """Raise `AssertionError` unless `strategy` keeps the promises of the seam.

    * Its arguments rebuild it, through the bytes of a run plan; a damaged one of them is refused by `BadInput`.
    * A client gets the same update, bit for bit, trained alone, stacked among others, and, on a word model,
      narrowed to its own words where `leaves_untouched_weights` allows that.
    * Its updates have the vectors, lengths and state that `outputs` and `keeps` announce.
    * `server_step` changes nothing that it is given, gives float32 weights, and gives the same for any layout of memory
      of its state: so a run goes on from a checkpoint as if it had never stopped.
    """
    _check_arguments(strategy)
    _check_clients_train_alike(strategy, dense_model(), dense_examples)
    _check_clients_train_alike(strategy, word_model(), messages)
    _check_narrowed(strategy)
    _check_server(strategy)


def _check_arguments(strategy: Strategy) -> None:
    kind, arguments = type(strategy), strategy.arguments()
    read = plain_data(arguments)
    assert isinstance(read, dict)
    again = kind(**read)
    assert again.arguments() == arguments, (
        f"{kind.__name__} built again from its arguments() has others: {again.arguments()}, before {arguments}"
    )
    assert int(strategy.max_weight) >= 1, f"max_weight is {strategy.max_weight}, at least 1 is needed"
    _check_damaged(kind, arguments)


def _check_damaged(kind: type[Strategy], arguments: Mapping[str, object]) -> None:
    """No value, however odd, has the class fail in another way than by a `BadInput`, and NaN is never taken."""
    for name in arguments:
        for value in DAMAGED:
            try:
                kind(**{**arguments, name: value})
            except BadInput:
                continue
            except Exception as error:
                raise AssertionError(
                    f"{kind.__name__}({name}={value!r}) raises {type(error).__name__}: {error}; "
                    "raise BadInput that names the value and the limit"
                ) from error
            assert value == value, f"{kind.__name__}({name}=nan) is taken: refuse it by BadInput"


def state_of(strategy: Strategy, parameters: int, seed: int = SEED) -> tuple[State, State]:
    """Arrays that a strategy may be sent or have kept, float32 by name: what it broadcasts (n,), and keeps (K, n)."""
    rng = np.random.default_rng(seed)
    sent = {n: rng.standard_normal(size).astype(np.float32) for n, size in strategy.broadcasts(parameters).items()}
    kept = {
        n: rng.standard_normal((CLIENTS, size)).astype(np.float32) for n, size in strategy.keeps(parameters).items()
    }
    return sent, kept


def _check_clients_train_alike(strategy: Strategy, model: Model, draw: Callable[[int, int], Examples]) -> None:
    """Alone or stacked: the same update."""
    parameters = model.vector.size
    start = model.vector.copy()
    sent, kept = state_of(strategy, parameters)
    for count in (1, 4, 7):
        data = [draw(count, i) for i in range(CLIENTS)]
        stacked = FlatModel(model, CLIENTS)
        stacked.load(start)
        together = strategy.local_update(stacked, stack(data), sent | kept, LocalRandom(SEED, 1, range(CLIENTS)))
        for i in range(CLIENTS):
            alone = FlatModel(model)
            alone.load(start)
            state = sent | {name: vectors[i] for name, vectors in kept.items()}
            update = strategy.local_update(alone, data[i], state, local_random(SEED, 1, i))
            _check_announced(strategy, update, parameters)
            _check_same(
                f"{client_name(i)} with {many(count, 'example')}, stacked", update, together.among(slice(i, i + 1))
            )


def _check_announced(strategy: Strategy, update: LocalUpdate, parameters: int) -> None:
    """An update holds what the strategy says it does."""
    outputs = strategy.outputs(parameters)
    assert "delta" in outputs, f"outputs() are {sorted(outputs)}: one of them must be called delta"
    assert set(update.vectors) == set(outputs), (
        f"local_update gave the vectors {sorted(update.vectors)}, outputs() announces {sorted(outputs)}"
    )
    for name, output in outputs.items():
        shape = update.vectors[name].shape
        assert shape == (output.length,), f"vector {name!r} has shape {shape}, outputs() announces ({output.length},)"
    kept = {name: vector.shape for name, vector in update.state.items()}
    announced = {name: (length,) for name, length in strategy.keeps(parameters).items()}
    assert kept == announced, f"local_update keeps {kept}, keeps() announces {announced}"
    assert update.examples >= 1, f"an update of {many(update.examples, 'example')}: its weight must be at least 1"
    assert np.isfinite(update.loss), f"the mean loss is {update.loss}"


def _check_same(who: str, alone: LocalUpdate, row: LocalUpdate) -> None:
    """Assert that two updates of one client have the same bits.

    row: the same client's update among stacked ones, (1, n) each.
    """
    for kind, vectors, others in (("vector", alone.vectors, row.vectors), ("state", alone.state, row.state)):
        for name, vector in vectors.items():
            other = others[name] if others[name].ndim == 1 else others[name][0]
            assert same_bits(np.asarray(vector, np.float64), np.asarray(other, np.float64)), (
                f"{kind} {name!r} of {who}, differs from the same client's trained alone: work on trailing axes, "
                "and let no sum run over the axis of clients"
            )
    assert np.asarray(alone.loss).tobytes() == np.asarray(row.loss)[0].tobytes(), f"the loss of {who}, differs"


def _check_narrowed(strategy: Strategy) -> None:
    """On the rows of its own words only, or on the whole word model: the same update."""
    model = word_model()
    parameters = model.vector.size
    if not strategy.leaves_untouched_weights:
        return
    assert not strategy.broadcasts(parameters), "leaves_untouched_weights must be False if broadcasts() is not empty"
    assert not strategy.keeps(parameters), "leaves_untouched_weights must be False if keeps() is not empty"
    start, narrow = model.vector.copy(), NarrowModel(model)
    data = [messages(6, i, longest=3 + 4 * i) for i in range(CLIENTS)]
    examples, support = narrow.narrow(start, [narrow.own_words(bags) for bags in data])
    together = strategy.local_update(narrow, examples, {}, LocalRandom(SEED, 1, range(CLIENTS)))
    for i in range(CLIENTS):
        alone = FlatModel(model)
        alone.load(start)
        update = strategy.local_update(alone, data[i], {}, local_random(SEED, 1, i))
        row = together.among(slice(i, i + 1))
        for name, vector in update.vectors.items():
            short = np.atleast_2d(row.vectors[name])
            whole = np.zeros(parameters, short.dtype)
            if vector.shape == (parameters,):
                support.among(slice(i, i + 1)).add_to(whole, short)
            else:
                whole = short[0]
            assert same_bits(np.asarray(vector, np.float64), np.asarray(whole, np.float64)), (
                f"vector {name!r} of {client_name(i)} differs between the whole model and its own words' rows: a sum "
                "over a vector of weights depends on how many zeros stand in it; set leaves_untouched_weights = False"
            )


def _check_server(strategy: Strategy) -> None:
    """Three rounds of server steps, with state in memory of any layout."""
    parameters = 12
    rng = np.random.default_rng(SEED)
    weights = rng.standard_normal(parameters).astype(np.float32)
    states: dict[str, State] = {layout: {} for layout in LAYOUTS}
    for round in range(1, 4):
        context = RoundContext(round, rounds=3, attempt=0, population=20, addends=5)
        outputs = strategy.outputs(parameters)
        mean = {name: 0.1 * np.abs(rng.standard_normal(output.length)) for name, output in outputs.items()}
        steps = {}
        for layout, rearranged in LAYOUTS.items():
            given = {name: rearranged(np.asarray(array)) for name, array in states[layout].items()}
            steps[layout], states[layout] = _step(strategy, weights, mean, given, context)
        for layout, moved in steps.items():
            assert same_bits(moved, steps["as it is"]), f"server_step gives other weights for state that is {layout}"
        weights = steps["as it is"]
        assert weights.dtype == np.float32, f"server_step gives weights of {weights.dtype}: make them float32"
        assert weights.shape == (parameters,), f"server_step gives weights of shape {weights.shape}"
        for name, length in strategy.broadcasts(parameters).items():
            shape = np.shape(states["as it is"].get(name, np.zeros(length)))
            assert shape == (length,), f"state {name!r} has shape {shape}, broadcasts() announces ({length},)"


def _step(
    strategy: Strategy, weights: np.ndarray, mean: Mapping[str, np.ndarray], state: State, context: RoundContext
) -> tuple[np.ndarray, State]:
    before = weights.tobytes(), {n: a.tobytes() for n, a in mean.items()}, {n: a.tobytes() for n, a in state.items()}
    result = strategy.server_step(weights, mean, state, context)
    after = weights.tobytes(), {n: a.tobytes() for n, a in mean.items()}, {n: a.tobytes() for n, a in state.items()}
    assert before == after, "server_step wrote to what it was given: compute new arrays"
    for name, array in result[1].items():
        assert isinstance(array, np.ndarray), f"state {name!r} is a {type(array).__name__}: keep arrays"
    return result


def _strided(array: np.ndarray) -> np.ndarray:
    wide = np.zeros((*array.shape, 2), array.dtype)
    wide[..., 0] = array
    return wide[..., 0]


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda array: array,
    "strided": _strided,
    "in Fortran's order": np.asfortranarray,
    "read backwards": lambda array: np.ascontiguousarray(array[::-1])[::-1] if array.ndim else array,
}
