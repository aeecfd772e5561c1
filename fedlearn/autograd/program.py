"""A step that is recorded once and then run again: a flat list of NumPy calls on arrays that are kept.

Training takes the same step over and over, on batches of one shape. The tape (graph.py) finds out each time which
calls to make, and makes new arrays for what they give. A `Program` is written from one tape: the same calls in the
same order, forward and backward, each bound to arrays that stay, so that no bit differs and nothing is looked up or
made. Views of such arrays stay right by themselves, and cost no call.

A tape does not show what Python did beside the ops. So a program is written only where every array that went into an
op is known: a parameter, a result of an op, or an array of the batch. An array of unknown origin, as a mask made by a
comparison, or whole numbers of the batch in an op that does not check them, raise `Unfit`, and the tape goes on. So
does an array whose numbers do not lie in memory in the order of its axes, unless it is a view of a kept array: sums and
products may run in another order over it than over the array that is kept. Words in bags, more or fewer from batch to
batch, are taken as they come. A tape cannot show `if` in Python code: whoever declares a class `replayable` promises
that it has none that matters (`fedlearn.nn.stackable`). And the first thing that a program does is the step it was
written from: where it does not give the same bits, it is not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakSet

import numpy as np

from fedlearn.autograd.arrays import unbroadcast
from fedlearn.autograd.graph import Op
from fedlearn.autograd.kept import KERNELS, Builder, Kernel, Unfit, Varying
from fedlearn.autograd.kernel_plan import current as current_plan
from fedlearn.autograd.mode import all_quietly
from fedlearn.autograd.node import Node
from fedlearn.autograd.replay import Plan
from fedlearn.autograd.walk import newest_first

PLAIN = (bool, int, float, str, slice, np.dtype, np.generic, type(None), type(...), type)


class RecordedSteps(NamedTuple):
    """How many programs there are, and how many bytes of arrays they keep."""

    programs: int
    bytes: int


def recorded_steps() -> RecordedSteps:
    """The programs of all models of this process: what recorded steps cost in memory, now."""
    programs = list(_programs)
    return RecordedSteps(len(programs), sum(program.bytes for program in programs))


class Program:
    """One step: from the arrays of a batch to the loss and the gradients of some leaves.

    loss: a result that was recorded, its tape not yet freed. batch: the arrays that it was computed from.
    batch, once it is written: arrays of its own, of the same layout, that each step's batch is written into.
    places: for each leaf the array, of the leaf's shape, that its gradient is to be written to; 0 where the loss does
    not depend on it. Raises `Unfit` where the tape does not say all.
    """

    def __init__(self, loss: Node, batch: Sequence[np.ndarray], leaves: Sequence[Node], places: Sequence[np.ndarray]):
        all_quietly(partial(self._write, loss, batch, leaves, places))

    def _write(
        self, loss: Node, batch: Sequence[np.ndarray], leaves: Sequence[Node], places: Sequence[np.ndarray]
    ) -> None:
        self._build, self._kernels = Builder(), kernels_of_plan()
        self._clients = loss._data.ndim
        order = newest_first(loss)
        varying = _of_any_length(order)
        self.batch: list[Any] = [
            Varying(array) if id(array) in varying else self._build.array(array.shape, array.dtype) for array in batch
        ]
        self._given = list(batch)
        if not self.fits(batch):
            raise Unfit("a batch that lies in memory in another order")
        self._take(batch)
        self._arrays = {leaf._id: leaf._data for leaf in leaves}
        self._values: dict[int, tuple[list[Any], dict[str, Any]]] = {}
        self._kept: dict[int, Any] = {}
        for y in reversed(order):
            if y._made is not None:
                self._forward(y)
            elif y._id not in self._arrays:
                raise Unfit("a leaf that is no parameter wants a gradient")
        self.loss = self._arrays[loss._id]
        self._backward(order, {leaf._id: place for leaf, place in zip(leaves, places, strict=True)})
        self._calls = tuple(self._build.calls)
        self.layout = tuple((kept.shape, kept.dtype) for kept in self.batch)
        self.bytes = self._build.bytes
        del self._build, self._kernels, self._given, self._arrays, self._values, self._kept
        _programs.add(self)

    def fits(self, batch: Sequence[np.ndarray]) -> bool:
        """True where these arrays have the shapes and precisions of the program's batch, and its order in memory.

        Words may be of any number. Where there are several losses, those of stacked clients, the clients' parts may lie
        apart.
        """
        for kept, array in zip(self.batch, batch, strict=True):
            if isinstance(kept, Varying):
                if not kept.fits(array):
                    return False
                continue
            if array.shape != kept.shape or array.dtype != kept.dtype:
                return False
            if array.strides != kept.strides and array.strides[self._clients :] != kept.strides[self._clients :]:
                return False
        return True

    def run(self, batch: Sequence[np.ndarray]) -> None:
        """Leaves the loss of this batch in `loss`, and the gradients in their places."""
        self._take(batch)
        self.run_as_it_stands()

    def run_as_it_stands(self) -> None:
        """Same as `run`, of what somebody wrote into the arrays of `batch`."""
        all_quietly(self._run)

    def _take(self, batch: Sequence[np.ndarray]) -> None:
        for kept, array in zip(self.batch, batch, strict=True):
            if isinstance(kept, Varying):
                kept.array = array
            else:
                np.copyto(kept, array)

    def _run(self) -> None:
        for call in self._calls:
            call()

    # Forward

    def _forward(self, y: Node) -> None:
        op, inputs, values, params, kept = y._made
        mine = [self._input(x, value) for x, value in zip(inputs, values, strict=True)]
        known = {name: self._parameter(value) for name, value in params.items()}
        self._values[y._id] = (mine, known)
        result = self._view(op, y._data, mine, known) if op.view else None
        if result is None:
            _in_order(y._data, op)
            if op.name in self._kernels:
                result = self._kernels[op.name].forward(self._build, y._data, *mine, **known)
        if result is None:
            if not op.fused and kept.dtype != y._data.dtype:
                raise Unfit(f"{op} keeps its result in another precision")
            result = self._plain_forward(op, y._data, mine, known)
        self._arrays[y._id], self._kept[y._id] = result

    def _view(self, op: Op, seen: np.ndarray, values: list[Any], params: dict[str, Any]) -> tuple[Any, Any] | None:
        """The view that the op gives of a kept array; None where the op gives a copy."""
        view = op.forward(*values, **params)
        if not any(np.may_share_memory(view, x) for x in values):
            return None
        if view.strides != seen.strides:
            _in_order(seen, op)
            _in_order(view, op)
        return view, view

    def _input(self, x: Any, value: Any) -> Any:
        if isinstance(x, Node):
            if value is not x._data:
                raise Unfit("an input was converted")
            if x._id in self._arrays:
                return self._arrays[x._id]
        return self._known(value)

    def _known(self, value: Any) -> Any:
        """A number as it is; an array of the batch, or all of one in another shape, as the kept one."""
        if not isinstance(value, np.ndarray):
            if isinstance(value, PLAIN):
                return value
            raise Unfit(f"a {type(value).__name__} is no number")
        for given, kept in zip(self._given, self.batch, strict=True):
            if value is given:
                return kept
            if not isinstance(kept, Varying) and _is_all_of(value, given):
                return kept.reshape(value.shape)
        raise Unfit(f"an array {value.shape} of unknown origin")

    def _parameter(self, value: Any) -> Any:
        if callable(value):  # it draws, and does so anew in each step
            return value
        if isinstance(value, tuple) and all(isinstance(part, PLAIN) for part in value):
            return value
        return self._known(value)

    def _plain_forward(self, op: Op, seen: np.ndarray, values: list[Any], params: dict[str, Any]) -> tuple[Any, Any]:
        """An op as it stands: what it gives is copied into an array that is kept."""
        for value in (*values, *params.values()):
            if isinstance(value, Varying):
                raise Unfit(f"{op} takes a list of any length")
            if isinstance(value, np.ndarray) and value.dtype.kind != "f":
                raise Unfit(f"{op} takes whole numbers, which it does not check")
        out, forward, cell = self._build.array(seen.shape, seen.dtype), partial(op.forward, *values, **params), Cell()

        def call() -> None:
            result = forward()
            if op.fused:
                result, cell.value = result
            out[...] = result

        self._build.call(call)
        return out, cell if op.fused else out

    # Backward

    def _backward(self, order: Sequence[Node], places: dict[int, np.ndarray]) -> None:
        plan = Plan(order)
        shares = Counter(pull.place for step in plan.steps for pull in step.pulls)
        gradients = {0: self._seed(order[0])}
        for step in plan.steps:
            y = order[step.place]
            values, params = self._values[y._id]
            g, kept = gradients.pop(step.place), self._kept[y._id]
            joint = None
            if step.op.joint is not None and (step.op.name not in self._kernels or isinstance(kept, Cell)):
                joint = self._joint(step.op, g, kept, values, params)
            for pull in step.pulls:
                x = order[pull.place]
                first = pull.place not in gradients
                place = places.get(x._id) if pull.leaf else None
                room = place if first and shares[pull.place] == 1 else None
                gx = self._pull(step.op, pull, g, kept, values, params, x, room, joint)
                if not first:
                    self._build.call(np.add, gradients[pull.place], gx, gradients[pull.place])
                elif shares[pull.place] > 1 or (place is not None and gx is not place):
                    own = self._build.array(gx.shape, gx.dtype) if place is None else place
                    self._build.call(np.copyto, own, gx)
                    gradients[pull.place] = own
                else:
                    gradients[pull.place] = gx
            for cell in (kept, joint):
                if isinstance(cell, Cell):
                    self._build.call(cell.clear)
        reached = {order[place]._id for place in plan.leaves}
        for number, place in places.items():
            if number not in reached:
                self._build.call(place.fill, 0)

    def _seed(self, loss: Node) -> np.ndarray:
        """The gradient of the loss, 1: written anew in each step, unless the loss' kernel leaves it as it is."""
        seed = self._build.array(self.loss.shape, self.loss.dtype)
        kernel = self._kernels.get(loss._made[0].name)
        if kernel is not None and kernel.reads_only:
            seed.fill(1)
            seed.flags.writeable = False
        else:
            self._build.call(seed.fill, 1)
        return seed

    def _pull(
        self, op: Op, pull: Any, g: Any, kept: Any, values: Any, params: Any, x: Node, room: Any, joint: Any
    ) -> np.ndarray:
        """The array that will hold the gradient of one input."""
        shape, dtype = x._data.shape, x._data.dtype
        if op.name in self._kernels and not isinstance(kept, Cell):
            found = self._kernels[op.name].backward(self._build, pull.position, g, kept, *values, room=room, **params)
            if found is not None:
                if found.shape != shape or found.dtype != dtype:
                    raise Unfit(f"{op} broadcasts")
                return found  # type: ignore[no-any-return]
        out = self._build.array(shape, dtype) if room is None else room

        def call() -> None:
            value = kept.value if isinstance(kept, Cell) else kept
            gx = joint.value[pull.position] if joint is not None else pull.vjp(g, value, *values, **params)
            if gx.shape != shape:
                gx = unbroadcast(gx, shape)
            _in_order(gx, op)
            out[...] = gx

        self._build.call(call)
        return out

    def _joint(self, op: Op, g: Any, kept: Any, values: Any, params: Any) -> Cell:
        """The gradients of all inputs of an op that gives them at once."""
        cell = Cell()

        def call() -> None:
            value = kept.value if isinstance(kept, Cell) else kept
            cell.value = op.joint(g, value, *values, **params)  # type: ignore[misc]

        self._build.call(call)
        return cell


_programs: WeakSet[Program] = WeakSet()


class Cell:
    """Arrays that an op keeps between its two halves, or gives to several inputs, until they are used."""

    value: Any = None

    def clear(self) -> None:
        self.value = None


def kernels_of_plan() -> dict[str, Kernel]:
    """How ops are written: by the current plan, chains of elementwise calls are compiled."""
    if not current_plan().compiled:
        return KERNELS
    from fedlearn.autograd import kept_compiled

    return KERNELS | kept_compiled.KERNELS


def _of_any_length(order: Sequence[Node]) -> set[int]:
    """The arrays, by their identities, of which a kernel takes as many numbers as there are."""
    made = [y._made for y in order if y._made is not None]
    names = [(KERNELS[op.name].varying, params) for op, _, _, params, _ in made if op.name in KERNELS]
    return {id(params.get(name)) for varying, params in names for name in varying}


def _in_order(array: Any, op: Op) -> None:
    if type(array) is not np.ndarray or not array.flags.c_contiguous:
        raise Unfit(f"{op} gives an array whose numbers lie in another order")


def _is_all_of(value: np.ndarray, given: np.ndarray) -> bool:
    """True where an array shows the same numbers as another in the same order, in a shape of its own."""
    return (
        value.size == given.size > 0
        and value.dtype == given.dtype
        and value.flags.c_contiguous
        and given.flags.c_contiguous
        and value.__array_interface__["data"][0] == given.__array_interface__["data"][0]
    )
