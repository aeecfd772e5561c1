"""Backward passes that are planned once: a step on the same model walks back through the same graph every time.

A walk (walk.py) finds all tensors that a result was made from, puts them in order, and asks of every input whether its
gradient is wanted. A `Plan` keeps the answers, as places in a list: no tensor, no array. To use it again is to look at
each tensor once, whether it was made by the same op from the same places, and then to make the calls that the walk
would make, in the same order; so no bit differs. A graph of another shape is simply not the plan's, and is walked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fedlearn.autograd import watch
from fedlearn.autograd.arrays import unbroadcast
from fedlearn.autograd.mode import mode
from fedlearn.autograd.node import Node, raw
from fedlearn.autograd.rows import RowSparse

if TYPE_CHECKING:
    from fedlearn.autograd.graph import Op

PLANS = 4  # kept for the results of one op: of models that are trained in turns, and of their last, smaller batch
EAGER = 8  # graphs in a row that no plan fitted, until only one in so many is planned: shapes that never come again
RARELY = 64


class Pull(NamedTuple):
    """A gradient that is wanted: of the input at `position`, which has its place in the list; leaf: nothing made it."""

    position: int
    vjp: Any  # None where the op's `joint` gives the gradients of all inputs
    place: int
    leaf: bool


class Step(NamedTuple):
    """One tensor of the walk: by which op it was made, and what is wanted of its inputs."""

    place: int
    op: Op
    inputs: int
    pulls: tuple[Pull, ...]
    others: tuple[int, ...]  # positions of inputs of which nothing is wanted


class Plan:
    """A walk back from a result to its leaves. order: all tensors that want a gradient, newest first, so the result."""

    def __init__(self, order: Sequence[Node]):
        places = {y._id: place for place, y in enumerate(order)}
        reached = {order[0]._id}
        self._size = len(order)
        self.steps: list[Step] = []
        for y in order:
            if y._made is None or y._id not in reached:
                continue
            op, inputs, *_ = y._made
            wanted = [i for i, x in enumerate(inputs) if isinstance(x, Node) and x._wanted]
            others = tuple(i for i in range(len(inputs)) if i not in wanted)
            vjps = (None,) * len(inputs) if op.joint is not None else op.vjps
            useful = [i for i in wanted if op.joint is not None or (i < len(vjps) and vjps[i] is not None)]
            pulls = tuple(Pull(i, vjps[i], places[inputs[i]._id], inputs[i]._made is None) for i in useful)
            reached |= {inputs[i]._id for i in useful}
            self.steps.append(Step(places[y._id], op, len(inputs), pulls, others))
        self.leaves = [places[y._id] for y in order if y._made is None and y._id in reached]

    def match(self, output: Node) -> list[Any] | None:
        """The tensors of a graph at their places; None where it is not the plan's."""
        nodes: list[Any] = [None] * self._size
        nodes[0] = output
        newest = output._id
        for place, op, count, pulls, others in self.steps:
            y = nodes[place]
            made = y._made
            if y._id > newest or made is None or made[0] is not op or len(made[1]) != count:
                return None
            newest = y._id - 1  # in falling order: so no tensor stands in two places
            inputs = made[1]
            for position in others:
                x = inputs[position]
                if isinstance(x, Node) and x._wanted:
                    return None
            for position, _, target, leaf in pulls:
                x = inputs[position]
                known = nodes[target]
                if known is None:
                    if not isinstance(x, Node) or not x._wanted or x._id > newest or leaf is not (x._made is None):
                        return None
                    nodes[target] = x
                elif known is not x:
                    return None
        distinct = len(set(map(id, map(nodes.__getitem__, self.leaves))))
        return nodes if distinct == len(self.leaves) else None

    def ends_in(self, targets: set[int], nodes: list[Any]) -> bool:
        """True where every leaf is among these tensors, named by number: no gradient is found in vain."""
        return all([nodes[place]._id in targets for place in self.leaves])

    def run(self, nodes: list[Any], g: Any, own: bool, create_graph: bool) -> list[tuple[Node, Any]]:
        """The gradient of every leaf, given the gradient of the result; own, create_graph: as in `walk.pullback`."""
        own = own and not create_graph
        gradients: list[Any] = [None] * self._size
        gradients[0] = g
        for place, op, _, pulls, _ in self.steps:
            y, g = nodes[place], gradients[place]
            if g is None:  # under create_graph alone: a composition may have no gradient where an array's has zeros
                continue
            gradients[place] = None
            if watch.latest > y._id and not op.linear:
                watch.refuse_stale(y)
            if type(g) is RowSparse:
                g = g.dense()
            _, inputs, values, params, kept = y._made
            joint = op.joint_of(g, y, create_graph) if create_graph or op.joint is not None else None
            if create_graph:
                values, kept = inputs, y
            for position, vjp, target, leaf in pulls:
                if joint is not None:
                    gx = joint[position]
                else:
                    gx = vjp(g, kept, *values, **params) if params else vjp(g, kept, *values)
                if gx is None:
                    continue
                x = inputs[position]._data
                found = raw(gx) if create_graph else gx
                if found.shape != x.shape:
                    gx = unbroadcast(gx, x.shape)
                if found.dtype is not x.dtype and found.dtype != x.dtype:
                    gx = gx.astype(x.dtype)
                if leaf and own and (gx is g or getattr(gx, "base", None) is not None):
                    gx = gx.copy()
                known = gradients[target]
                gradients[target] = gx if known is None else known + gx
        return [(nodes[place], gradients[place]) for place in self.leaves if gradients[place] is not None]


class Plans:
    """The plans for results of one op, the last used first."""

    def __init__(self) -> None:
        self._plans: tuple[Plan, ...] = ()
        self._missed = 0  # graphs in a row

    def find(self, output: Node) -> tuple[Plan, list[Any]] | None:
        """A plan that fits, and the graph's tensors at its places."""
        if not mode.replaying:
            return None
        for plan in self._plans:
            nodes = plan.match(output)
            if nodes is not None:
                if plan is not self._plans[0]:
                    self._plans = (plan, *(other for other in self._plans if other is not plan))
                self._missed = 0
                return plan, nodes
        return None

    def learn(self, order: Sequence[Node]) -> None:
        """A graph that no plan fitted was walked in this order: the next may be like it."""
        self._missed += 1
        if mode.replaying and (self._missed <= EAGER or self._missed % RARELY == 0):
            self._plans = (Plan(order), *self._plans[: PLANS - 1])
