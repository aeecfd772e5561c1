"""Local training of many clients in one process: stacked, narrowed or one by one, and the same bits each way.

Whoever trains beside a client changes nothing in its update: it draws its own shuffles, and stacked clients are
computed side by side, never mixed. What is at fault with one client costs that client only. Clients with a behaviour
of their own are trained whole and one by one: what they do to an update may concern any weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from typing import TypeVar, cast

import numpy as np

from clients.behaviours.base import Behaviour, Honest
from clients.client import Client, ClientSource, SideBySide, log_name
from clients.drawn import Drawn
from clients.encoded import Encoded, addable
from clients.guarded import guarded, lost
from clients.rounding import Rounding
from clients.task import Task
from fedlearn import nn
from fedlearn.autograd import recurrent
from fedlearn.autograd.memory import keep_freed
from fedlearn.autograd.recurrent import KernelPlan
from fedlearn.crypto import FixedPoint
from fedlearn.datasets.bags import Bags
from fedlearn.datasets.examples import Examples
from fedlearn.errors import ProtocolError
from fedlearn.models.base import Model
from fedlearn.nn.stackable import unstackable
from fedlearn.privacy.terms import Terms
from fedlearn.protocol import ClientId, Lost, RunPlan, TrainRequest
from fedlearn.secure.compression import Compression
from fedlearn.secure.layout import Layout
from fedlearn.secure.layouts import layout_of, layout_of_plan
from fedlearn.secure.rounds import RoundLayout
from fedlearn.seeding import ClientRandom, LocalRandom, local_random
from fedlearn.strategies.base import LocalUpdate, State, Strategy
from fedlearn.training.flat import FlatModel, stack_size, weights_in
from fedlearn.training.loop import Shuffles
from fedlearn.training.marks import marks
from fedlearn.training.narrow import NarrowModel, OwnWords, Support
from fedlearn.training.stacks import Places, StackedViews, batch_shape, stack
from fedlearn.travel import rebuilt
from fedlearn.wording import many

T = TypeVar("T")
Way = Callable[[dict[int, Client], Task], Iterator[Encoded | Lost]]
Apart = Callable[[list[int], Task], Iterator[Encoded | Lost]]

MADE_AT_ONCE = 256  # clients whose examples are held at a time
ENCODED_AT_ONCE = 1 << 18  # values, likewise
STACKS = 6  # kept, each of so many copies: their steps are recorded
ROOMIER = 9 / 8  # times as many copies as clients, at most


class LocalTraining:
    """Trains the clients of one plan: one model object, one stack and one narrowed model serve them all."""

    def __init__(self, plan: RunPlan, clients: ClientSource | Mapping[int, Client]):
        self._clients = clients
        self._seed = plan.seed
        self.rounding: Rounding | None = None  # of a simulation that measures it
        keep_freed()
        self.layout = layout_of_plan(plan)
        compression = Compression.of_plan(plan)
        with nn.init.left_blank():  # every request brings the weights
            most = compression.most_parameters(len(self.layout))
            model: Model = nn.build_of_others(plan.model, most).train()
        self._model = FlatModel(model, given_up=True)
        self._size = weights_in(model)
        self._draws = any(hasattr(module, "rng") for module in model.modules())
        self._strategy = rebuilt(plan.strategy, Strategy)
        _check_layout(self.layout, plan, self._strategy, self._size)
        outputs = self._strategy.outputs(self._size)
        self._broadcasts = {**self._strategy.broadcasts(self._size), **self.layout.broadcasts}
        self._block = max(1, ENCODED_AT_ONCE // self._size)
        self._stack_size = stack_size(model, plan.kernels["stack"])
        recurrent.use(KernelPlan.from_dict(plan.kernels["recurrent"]))
        self._stacks: dict[int, FlatModel] = {}
        narrows = model.vocabulary is not None and self._strategy.leaves_untouched_weights and not unstackable(model)
        self._narrow = NarrowModel(model, 1 if plan.kernels["stack"] == "off" else None) if narrows else None
        self._own_state = self._strategy.keeps(self._size)
        self._keeps = {**self._own_state, **compression.keeps(outputs)}
        self._drawn = Drawn.of(self.layout, self._model, self._stack_size, self._trained, self._seed)
        stacks = self._drawn is None and self._stack_size > 1
        self._source = clients if stacks and isinstance(clients, SideBySide) else None

    def _name(self, number: ClientId) -> str:
        return log_name(self._clients, number)

    def check(self, request: TrainRequest) -> None:
        """Raise `ProtocolError` for a request of another model or strategy than the plan's."""
        request.check(self._size, self._broadcasts)
        self.layout.in_round(request.state)

    def examined(self, number: ClientId, weights: np.ndarray) -> dict[str, float]:
        """How good the model with these weights (P,) is on one client's own examples."""
        self._model.load(weights)
        return marks(self._model.model, self._clients[number].data)

    def updates(self, numbers: Iterable[int], task: Task) -> Iterator[Encoded | Lost]:
        """Train these clients; each of them is in one `Encoded` or one `Lost`."""
        for part in _cut(numbers, MADE_AT_ONCE):
            examples = self._together(part)
            if examples is None:
                yield from self._in_groups(part, task)
            else:
                yield from self._side_by_side(part, examples.among, task, self._in_groups)

    def _together(self, numbers: list[int]) -> StackedViews | None:
        """The examples of honest clients in one piece, from a source that has them so."""
        if self._source is None:
            return None
        try:
            return self._source.together(numbers)
        except Exception:  # the fault of one: made one by one, it will be named
            return None

    def _in_groups(self, numbers: Iterable[int], task: Task) -> Iterator[Encoded | Lost]:
        """Make these clients one by one, and train those together that can be trained alike."""
        groups: dict[tuple[Way, object], dict[int, Client]] = {}
        for number in numbers:
            try:
                client = self._clients[number]
                groups.setdefault(self._way(client), {})[number] = client
            except Exception as error:
                yield lost(number, self._name(number), task.round, error)
        for (train, _), group in groups.items():
            yield from train(group, task)

    def _way(self, client: Client) -> tuple[Way, object]:
        """How to train a client, and what it must have in common with those that are trained with it."""
        if self._drawn is not None:
            return self._by_example, None
        if client.behaviour is not None:
            return self._misbehaving, None
        shape = batch_shape(client.data)
        if self._narrow is not None and isinstance(client.data, Bags):
            return self._narrowed, shape
        if shape is not None and self._stack_size > 1:
            return self._stacked, shape
        return self._one_by_one, len(client.data)

    def _stacked(self, group: dict[int, Client], task: Task) -> Iterator[Encoded | Lost]:
        """Clients with equally many examples of one shape."""
        numbers = list(group)

        def among(places: Places) -> Examples:
            return stack([group[number].data for number in np.asarray(numbers)[places].tolist()])

        def alone(some: list[int], task: Task) -> Iterator[Encoded | Lost]:
            return self._one_by_one({number: group[number] for number in some}, task)

        yield from self._side_by_side(numbers, among, task, alone)

    def _side_by_side(
        self, numbers: list[int], among: Callable[[Places], Examples], task: Task, otherwise: Apart
    ) -> Iterator[Encoded | Lost]:
        """Clients whose examples, stacked, are `among(places)`; otherwise: how to train some where that fails."""
        size = _evenly(len(numbers), self._stack_size)
        draws = LocalRandom(self._seed, task.round, numbers)
        for start in range(0, len(numbers), size):
            stop = min(start + size, len(numbers))
            part = numbers[start:stop]
            try:
                stacked = self._stack_for(len(part))
                stacked.load(task.weights)
                # Copies that are left over train the last client once more, for nothing.
                more = len(stacked.vector) - len(part)
                places = np.minimum(np.arange(start, stop + more), stop - 1) if more else slice(start, stop)
                state = self._state(part + more * part[-1:], task)
                update = self._trained(stacked, among(places), state, draws.among(places))
            except Exception:  # the fault of one: alone, it will be named and the others are spared
                yield from otherwise(part, task)
            else:
                yield from self._encoded(part, task, update)

    def _stack_for(self, clients: int) -> FlatModel:
        """A stack of so many copies, or of a few more where there is one: its steps are on record."""
        copies = min((held for held in self._stacks if clients <= held <= clients * ROOMIER), default=clients)
        stacked = self._stacks.pop(copies, None) or FlatModel(self._model.model, copies)
        if len(self._stacks) == STACKS:
            del self._stacks[next(iter(self._stacks))]
        self._stacks[copies] = stacked  # the last used is the last to go
        return stacked

    def _state(self, numbers: int | Sequence[int], task: Task) -> State:
        """The arrays that the strategy is given beside the weights, for one client or for K stacked ones."""
        if not self._own_state:
            return dict(task.state)
        kept = task.kept.recall(numbers, self._keeps)
        return {**task.state, **{name: kept[name] for name in self._own_state}}

    def _one_by_one(self, group: dict[int, Client], task: Task) -> Iterator[Encoded | Lost]:
        """Clients with equally many examples."""
        draws = LocalRandom(self._seed, task.round, list(group))
        for part in _cut(zip(group.items(), draws, strict=True), self._block):
            trained: list[int] = []
            updates: list[LocalUpdate] = []
            for (number, client), rng in part:
                work = partial(self._train_whole, number, client.data, rng, task)
                done = guarded(number, self._name(number), task.round, work)
                if isinstance(done, LocalUpdate):
                    trained.append(number)
                    updates.append(done)
                else:
                    yield done
            if updates:
                yield from self._encoded(trained, task, LocalUpdate.stacked(updates))

    def _train_whole(self, number: int, data: Examples, rng: ClientRandom, task: Task) -> LocalUpdate:
        self._model.load(task.weights)
        if self._draws:
            self._model.model.use_rng(rng.generator)
        return self._trained(self._model, data, self._state(number, task), rng)

    def _trained(self, model: FlatModel, data: Examples, state: State, draws: Shuffles) -> LocalUpdate:
        """The strategy's own update; its delta is 0 for frozen weights, whatever the strategy does to weights."""
        update = self._strategy.local_update(model, data, state, draws)
        if model.frozen is None:
            return update
        delta = np.where(model.frozen, np.float32(0), update.vectors["delta"])
        return replace(update, vectors={**update.vectors, "delta": delta})

    def _narrowed(self, group: dict[int, Client], task: Task) -> Iterator[Encoded | Lost]:
        """Clients with equally many messages, each on the rows that its own words name."""
        assert self._narrow is not None
        own_words: dict[int, OwnWords] = {}
        for number, client in group.items():
            words = guarded(
                number, self._name(number), task.round, partial(self._narrow.own_words, cast(Bags, client.data))
            )
            if isinstance(words, Lost):
                yield words
            else:
                own_words[number] = words
        for numbers in self._narrow.stacks(own_words):
            part = {number: own_words[number] for number in numbers}
            yield from self._narrow_stack(self._narrow, part, task)

    def _narrow_stack(
        self, narrow: NarrowModel, own_words: dict[int, OwnWords], task: Task
    ) -> Iterator[Encoded | Lost]:
        numbers = list(own_words)
        try:
            examples, support = narrow.narrow(task.weights, list(own_words.values()))
            update = self._trained(narrow, examples, {}, LocalRandom(self._seed, task.round, numbers))
        except Exception as error:  # the fault of one, as above
            if len(own_words) == 1:
                yield lost(numbers[0], self._name(numbers[0]), task.round, error)
                return
            for number, words in own_words.items():
                yield from self._narrow_stack(narrow, {number: words}, task)
        else:
            yield from self._encoded(numbers, task, update, support)

    def _misbehaving(self, group: dict[int, Client], task: Task) -> Iterator[Encoded | Lost]:
        """Clients with a behaviour; what colluders would honestly send is found out once for all of them."""

        def honest(number: int, data: Examples) -> LocalUpdate:
            return self._train_whole(number, data, local_random(self._seed, task.round, number), task)

        known = cast(Honest, cache(honest))

        def misbehave(number: int, client: Client, behaviour: Behaviour) -> Encoded:
            update = behaviour.update(honest(number, behaviour.examples(client.data)), known)
            return self._encode(task.layout, [number], update, task)

        for number, client in group.items():
            assert client.behaviour is not None
            yield guarded(number, self._name(number), task.round, partial(misbehave, number, client, client.behaviour))

    def _by_example(self, group: dict[int, Client], task: Task) -> Iterator[Encoded | Lost]:
        """Clients whose single examples are protected, one after the other."""
        assert self._drawn is not None
        for number, client in group.items():
            work = partial(self._drawn.encoded, task.layout.layout, number, client, task)
            yield guarded(number, self._name(number), task.round, work)

    def _encoded(
        self, numbers: Sequence[int], task: Task, update: LocalUpdate, support: Support | None = None
    ) -> Iterator[Encoded | Lost]:
        """The updates of these clients, the first in `update`, encoded some at a time: all do not fit the cache."""
        narrow = support is not None and not task.layout.whole
        layout = task.layout.narrowed(update.vectors["delta"].shape[-1]) if narrow else task.layout
        block = max(1, min(ENCODED_AT_ONCE // len(layout.layout), addable(self.layout.codec)))

        def encoded(rows: slice) -> Encoded:
            own = None if support is None else support.among(rows)
            return self._encode(layout, numbers[rows], update.among(rows), task, own)

        for start in range(0, len(numbers), block):
            try:
                done = encoded(slice(start, min(start + block, len(numbers))))
            except Exception:  # the fault of one, as above
                for row, number in enumerate(numbers[start : start + block], start):
                    yield guarded(number, self._name(number), task.round, partial(encoded, slice(row, row + 1)))
            else:
                yield done

    def _encode(
        self,
        layout: RoundLayout,
        numbers: Sequence[int],
        update: LocalUpdate,
        task: Task,
        support: Support | None = None,
    ) -> Encoded:
        """Their lanes; what they will keep, should the round count with them, is written down first."""
        if support is not None and layout.whole:
            update = replace(update, vectors={"delta": support.scatter(update.vectors["delta"], self._size)})
            support = None
        encoded, left = layout.encode(update, numbers, self._left_before(numbers, task))
        lanes = np.atleast_2d(encoded)
        self.layout.blur(lanes, task.round, numbers)
        if self._keeps:
            task.kept.note(numbers, {**update.state, **left}, self._keeps)
        done = Encoded(numbers, lanes, support)
        if self.rounding is not None and not layout.compression.whole:
            self.rounding.note(task.round, self.layout, layout.layout, update, done)
        return done

    def _left_before(self, numbers: Sequence[int], task: Task) -> State:
        """The rest that these clients kept of earlier updates, (K, n)."""
        return task.kept.recall(numbers, self._keeps) if self._keeps.keys() != self._own_state.keys() else {}


def _check_layout(layout: Layout, plan: RunPlan, strategy: Strategy, size: int) -> None:
    """Raise `ProtocolError` for a plan whose vectors hold something else than this strategy's updates."""
    codec = FixedPoint.from_dict(plan.protection["arguments"]["codec"])
    terms, compression = Terms.read(plan.privacy), Compression.of_plan(plan)
    if layout != layout_of(strategy.outputs(size), codec, strategy.max_weight, terms, compression):
        raise ProtocolError(f"the plan's layout is not that of {strategy.name} on a model of {many(size, 'weight')}")


def _cut(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """At most `size` of them at a time."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part


def _evenly(count: int, most: int) -> int:
    """How many of `count` to take at a time, so that the fewest turns are about equally long."""
    return -(-count // -(-count // most))
