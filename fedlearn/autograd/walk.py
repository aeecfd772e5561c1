"""How gradients walk back through the record of operations.

Tensors are numbered as they are made. A tensor is therefore always newer than everything it was made
from, and walking from the newest to the oldest meets each tensor after all of its consumers: no recursion,
and a tensor used twice simply has its two gradients added.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from fedlearn.autograd import watch
from fedlearn.autograd.arrays import unbroadcast
from fedlearn.autograd.mode import mode, plainly
from fedlearn.autograd.node import FREED, Node, raw
from fedlearn.autograd.rows import RowSparse
from fedlearn.errors import GraphError


def pullback(
    output: Node,
    g: Any,
    wanted: Sequence[Node] | None = None,
    create_graph: bool = False,
    retain_graph: bool = True,
    stop: bool = False,
    own: bool = True,
) -> list[tuple[Node, Any]]:
    """Gradients of `output`, weighted by `g`: of those `wanted` that it depends on, or of every leaf.

    With `stop` the wanted tensors are taken as independent variables even where one was made from another. Without
    `own` a leaf's gradient may share memory with others, and is only to be read.
    They come as arrays or `RowSparse`, or as Tensors under `create_graph`.
    """
    targets = None if wanted is None else {x._id for x in wanted}
    at_leaves = output._made is not None and all([x._made is None for x in wanted or ()])
    planned = output._made[0].plans.find(output) if at_leaves and output._made is not FREED else None
    if planned is not None and targets is not None and not planned[0].ends_in(targets, planned[1]):
        planned, at_leaves = None, False
    recording, quietly = mode.recording, mode.quietly
    mode.recording, mode.quietly = create_graph, plainly
    try:
        if planned is not None:
            plan, order = planned
            found: list[tuple[Node, Any]] = quietly(plan.run, order, g, own, create_graph)
        else:
            order = newest_first(output, targets if stop and targets else set())
            if at_leaves:
                output._made[0].plans.learn(order)
            found = quietly(_walk, order, {output._id: g}, targets, create_graph, stop)
    finally:
        mode.recording, mode.quietly = recording, quietly
    if not retain_graph:
        for y in order:
            if y is not None and y._made is not None:
                y._made = FREED
                if y._past is not None:
                    y._past = None
    return found


def _walk(
    order: Sequence[Node], gradients: dict[int, Any], targets: set[int] | None, create_graph: bool, stop: bool
) -> list[tuple[Node, Any]]:
    """`pullback` along tensors from the newest to the oldest."""
    useful = None if targets is None or _all_lead_to(targets, order) else _leading_to(targets, order)
    found = []
    for y in order:
        g = gradients.pop(y._id, None)
        if g is None:
            continue
        at_target = y._made is None if targets is None else y._id in targets
        if at_target:
            found.append((y, g))
        if y._made is not None and not (at_target and stop):
            _pull_into(gradients, g, y, create_graph, useful)
    return found


def _pull_into(gradients: dict[int, Any], g: Any, y: Node, create_graph: bool, useful: set[int] | None) -> None:
    """One step back: adds what `y`'s gradient says about its inputs to what is already known of theirs."""
    op = y._made[0]
    if watch.latest > y._id and not op.linear:
        watch.refuse_stale(y)
    if isinstance(g, RowSparse):
        g = g.dense()
    for x, gx in op.pull(g, y, create_graph, useful):
        found = raw(gx) if create_graph else gx
        if found.shape != x._data.shape:
            gx = unbroadcast(gx, x._data.shape)
        if found.dtype != x._data.dtype:
            gx = gx.astype(x._data.dtype)
        if x._made is None and not create_graph and (gx is g or getattr(gx, "base", None) is not None):
            gx = gx.copy()  # a leaf's gradient is its own: it shares memory with nothing
        known = gradients.get(x._id)
        gradients[x._id] = gx if known is None else known + gx


def newest_first(output: Node, boundary: Iterable[int] = ()) -> list[Node]:
    """Every tensor wanting a gradient that `output` was made from, newest first; not beyond `boundary`."""
    seen = {output._id: output}
    boundary = set(boundary)
    stack = [output]
    while stack:
        y = stack.pop()
        if y._made is FREED:
            raise GraphError(
                "the graph of this tensor was freed by an earlier backward pass: "
                "run the forward pass again, or give retain_graph=True to the first"
            )
        if y._made is None or y._id in boundary:
            continue
        for x in y._made[1]:
            if isinstance(x, Node) and x._wanted:
                if x._id > y._id:
                    y._made = (y._made[0], tuple([_as_of(x, y._id) for x in y._made[1]]), *y._made[2:])
                    stack.append(y)  # once more, with its inputs as they were
                    break
                if x._id not in seen:
                    seen[x._id] = x
                    stack.append(x)
    return sorted(seen.values(), key=attrgetter("_id"), reverse=True)


def _as_of(x: Any, moment: int) -> Any:
    """An input as it was then: a change in place that was recorded since has made another tensor of it."""
    while isinstance(x, Node) and x._id > moment:
        x = x._past
    return x


def _all_lead_to(targets: set[int], tensors: Iterable[Node]) -> bool:
    """True where every path back ends in a target, as where all weights are wanted."""
    return all(y._made is not None or y._id in targets for y in tensors)


def _leading_to(targets: set[int], newest_first: Sequence[Node]) -> set[int]:
    """The tensors through which a gradient reaches a target."""
    useful = set(targets)
    for y in reversed(newest_first):
        if y._made is not None and any(isinstance(x, Node) and x._id in useful for x in y._made[1]):
            useful.add(y._id)
    return useful
