"""The base of every optimizer: parameters in groups, and one flat step over memory that lies together.

The parameters of a model are views of one array. So a step does not go from parameter to parameter: it takes
each unbroken run of memory, its gradients joined in the same order, and applies the rule once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self
from weakref import ref

import numpy as np

from fedlearn.autograd import watch
from fedlearn.autograd.mode import enable_grad, mode
from fedlearn.autograd.node import next_id
from fedlearn.autograd.rows import RowSparse
from fedlearn.autograd.tensor import Tensor, wrap
from fedlearn.checked import check_flags, flag
from fedlearn.errors import BadInput, ShapeError
from fedlearn.leftout import refuse_arguments
from fedlearn.nn.functional.arguments import numbers, real, whole
from fedlearn.nn.parameter import Parameter, consecutive, flatten, place_in
from fedlearn.optim.states import reading

Group = dict[str, Any]  # "params": its parameters; and the rule's options, as "lr"
OptimizerState = dict[str, np.ndarray]  # what the rule remembers of its parameters, by name


@dataclass(eq=False)
class Run:
    """Parameters that lie one after the other in memory, with equally long histories."""

    members: list[Tensor]
    arrays: list[np.ndarray]  # the members' memory when the run was formed
    weights: np.ndarray  # the same as one array (n,)
    state: OptimizerState  # (n,) each
    memories: list[dict[str, Any]]  # the optimizer's `state` of each member
    apart: bool = False  # the one member's memory is not in order, and `weights` are a copy of it
    joined: Joined | None = None

    def gradient(self) -> np.ndarray:
        """The gradients of its members, end to end (n,): to be read, it may be their own memory."""
        parts = [g._data if type(g := p._grad) is Tensor else _dense(g) for p in self.members]
        if len(parts) == 1:
            return parts[0].ravel()
        memory = parts[0].base
        if memory is not None and self.joined is not None and self.joined.are(parts):
            return memory[self.joined.place]
        whole = None if memory is None else consecutive(parts)
        if memory is None or whole is None:
            return np.concatenate([part.ravel() for part in parts])
        self.joined = Joined([ref(part) for part in parts], place_in(whole, memory))
        return whole

    def fetch(self) -> None:
        """Have the weights be what the one member holds, whose memory lies apart."""
        self.weights[...] = self.arrays[0].ravel()

    def bring(self) -> None:
        """Write the weights into the one member's memory."""
        self.arrays[0][...] = self.weights.reshape(self.arrays[0].shape)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "joined": None}  # of these gradients, which no copy has


class Joined(NamedTuple):
    """Gradients that lay end to end, as those of a recorded step do, and where in the memory that is theirs.

    Nothing holds on to them from here: whose they are is told by who does (`fedlearn.training.recorded`).
    """

    parts: list[ref[np.ndarray]]
    place: slice

    def are(self, parts: Sequence[np.ndarray]) -> bool:
        return all([known() is part for known, part in zip(self.parts, parts, strict=True)])


def _whole_steps(value: Any) -> int:
    """Steps taken, out of a saved state: a whole number, in a float or an array of one too, as PyTorch's is."""
    number = float(value)
    return whole(int(number) if number.is_integer() else number, "step", 0)


class Optimizer(ABC):
    """Base of the optimizers. A subclass names what it remembers (`slots`) and defines `update`.

    `params` is an iterable of parameters, or of any leaf tensors that want a gradient, or of (name, parameter), or of
    groups: dicts with "params", one or several, and options of their own. Tensors without a gradient are left alone.
    Groups and `state_dict` are laid out as PyTorch's. All options have `maximize`: go uphill.
    """

    def __new__(cls, *args: Any, **options: Any) -> Self:
        refuse_arguments(cls, options)
        check_flags(cls, args, options)
        return super().__new__(cls)

    def __init__(self, params: Iterable[Any], **options: Any):
        given: list[Any] = [params] if isinstance(params, Tensor) or not isinstance(params, Iterable) else list(params)
        if not given:
            raise BadInput(f"{type(self).__name__} was given no parameters: pass module.parameters()")
        self.defaults = options
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._runs: list[list[Run]] = []
        for group in given if isinstance(given[0], Mapping) else [{"params": given}]:
            self.add_param_group(group)
        members = self._members()
        ours = all(isinstance(p, Parameter) and p._data.base is None for p in members)
        if members and ours and len({p.dtype for p in members}) == 1:
            flatten(members)  # memory that belongs to no model's vector yet may be moved together

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Have the optimizer change further parameters: a dict with "params", and options of their own."""
        kind = type(self).__name__
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise BadInput(f'{kind} takes parameters, or groups: dicts with "params"; not {param_group!r:.60}')
        unknown = set(param_group) - {"params", *self.defaults}
        if unknown:
            raise BadInput(f"unknown options {sorted(unknown)} for {kind}: it knows {sorted(self.defaults)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise BadInput(f"{kind} was given a set of parameters, which has no order: pass a list")
        one = isinstance(params, Tensor) or not isinstance(params, Iterable)
        members = [p[1] if isinstance(p, tuple) and len(p) == 2 else p for p in ([params] if one else params)]
        for p in members:
            if not isinstance(p, Tensor) or not (isinstance(p, Parameter) or (p.requires_grad and p.is_leaf)):
                raise BadInput(
                    f"{kind} was given a {type(p).__name__} to change: pass module.parameters(), or leaf tensors with "
                    "requires_grad=True"
                )
        known = {id(p) for p in self._members()}
        if len({id(p) for p in members} | known) < len(members) + len(known):
            raise BadInput(f"{kind} was given one parameter twice: each belongs to one group")
        group = {**self.defaults, **param_group, "params": members}
        self.check(group)
        self.param_groups.append(group)
        self._runs.append([])

    def check(self, group: Group) -> None:
        """Make the options of a group plain numbers and flags; raise `BadInput` for others. Subclasses add theirs."""
        for name, default in self.defaults.items():
            if isinstance(default, bool):
                group[name] = flag(f"{type(self).__name__}'s {name}", group[name])
        group["lr"] = real(group["lr"], "lr", 0)
        group["weight_decay"] = real(group["weight_decay"], "weight_decay", 0)

    def slots(self, group: Group) -> dict[str, float]:
        """The names of the arrays that the rule keeps for each parameter, and what they begin with."""
        return {}

    counts: ClassVar[Mapping[str, Callable[[Any], float]]] = {"step": _whole_steps}
    """The single numbers that are remembered of each parameter, and how one is read from a saved state."""

    def count(self, memory: dict[str, Any], group: Group) -> None:
        """Note one more step of a parameter, of which `memory` is what is remembered."""
        memory["step"] += 1

    @abstractmethod
    def update(self, weights: np.ndarray, gradient: np.ndarray, state: OptimizerState, step: int, group: Group) -> None:
        """Change `weights` (n,) in place by the rule; `step` counts from 1."""

    def decay(self, weights: np.ndarray, gradient: np.ndarray, group: Group) -> np.ndarray:
        """The gradient with weight decay in it; decoupled, the weights have shrunk instead."""
        if group.get("decoupled_weight_decay"):
            weights *= 1 - group["lr"] * group["weight_decay"]
            return gradient
        return gradient + group["weight_decay"] * weights if group["weight_decay"] else gradient

    def update_rows(self, weights: np.ndarray, gradient: RowSparse, group: Group) -> bool:
        """Apply the rule to the rows of a row-sparse gradient alone, if that is exact; else return False."""
        return False

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Change every parameter that has a gradient; returns what `closure`, which computes them first, returns."""
        loss = None
        if closure is not None:
            if not callable(closure):
                raise BadInput(f"step takes a function that computes the loss, or nothing, not {closure!r:.60}")
            with enable_grad():
                loss = closure()
        mode.quietly(self._step)  # what is not finite shows in the weights
        return loss

    def _step(self) -> None:
        changed: list[Tensor] = []
        for group, runs in zip(self.param_groups, self._runs, strict=True):
            rate = group["lr"]
            if type(rate) is not float or not 0 <= rate < math.inf:  # a schedule or a person has set it
                group["lr"] = real(rate, "lr", 0)
            dense = []
            for p in group["params"]:
                g = p._grad
                if g is None:
                    continue
                changed.append(p)
                if not (type(g) is RowSparse and self.update_rows(p._data, g, group)):
                    dense.append(p)
            if not _still_holds(runs, dense):
                runs[:] = self._form_runs(dense, self.slots(group))
            for run in runs:
                for memory in run.memories:
                    self.count(memory, group)
                gradient = -run.gradient() if group["maximize"] else run.gradient()
                if run.apart:
                    run.fetch()
                self.update(run.weights, gradient, run.state, run.memories[0]["step"], group)
                if run.apart:
                    run.bring()
        watch.announce(changed, next_id())

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set those that there are to zero."""
        set_to_none = flag("zero_grad's set_to_none", set_to_none)
        for p in self._members():
            p._grad = None if set_to_none or p._grad is None else wrap(np.zeros_like(p._data))

    def state_dict(self) -> dict[str, Any]:
        """Copies of all that the optimizer remembers; parameters are named by their number."""
        numbers = {id(p): i for i, p in enumerate(self._members())}
        return {
            "state": {
                numbers[id(p)]: {name: _copy(value) for name, value in memory.items()}
                for p, memory in self.state.items()
            },
            "param_groups": [
                {**group, "params": [numbers[id(p)] for p in group["params"]]} for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what another optimizer of this kind, over parameters of the same shapes, remembered.

        Raises `ShapeError` or `BadInput` for another state, having changed nothing.
        """
        with reading(self):
            groups = self._groups_of(state_dict["param_groups"])
            state = self._memories_of(state_dict["state"], groups)
        self.state = state
        self._runs = [[] for _ in self.param_groups]
        for group, given in zip(self.param_groups, groups, strict=True):
            group.update(given)

    def _groups_of(self, saved: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The options of each group, checked."""
        sizes = [len(group["params"]) for group in saved]
        if sizes != [len(group["params"]) for group in self.param_groups]:
            count = len(self._members())
            raise ShapeError(f"the optimizer state is for groups of {sizes} parameters, not of these {count}")
        groups = []
        for group, given in zip(self.param_groups, saved, strict=True):
            options = {name: given[name] for name in self.defaults if name in given}
            checked = {**group, **options}
            self.check(checked)
            if "initial_lr" in given:
                options["initial_lr"] = checked["initial_lr"] = real(given["initial_lr"], "initial_lr", 0)
            groups.append({name: checked[name] for name in options})
        return groups

    def _memories_of(
        self, saved: Mapping[Any, Mapping[str, Any]], groups: Sequence[Group]
    ) -> dict[Tensor, dict[str, Any]]:
        """The state of each parameter, with what the rule remembers under the options of `groups`."""
        members = self._members()
        rules = [
            (self.slots({**group, **given}), self.slots({**group, **dict.fromkeys(self.defaults, 1.0)}))
            for group, given in zip(self.param_groups, groups, strict=True)
            for _ in group["params"]
        ]
        loaded: dict[Tensor, dict[str, Any]] = {}
        for i, memory in saved.items():
            p = members[int(i)]
            given = {name: value for name, value in memory.items() if value is not None}
            needed, known = rules[int(i)]  # the slots under these options, and those with all options on
            if not needed.keys() <= given.keys() <= known.keys() | self.counts.keys():
                raise BadInput(
                    f"not the state of {type(self).__name__}: it remembers {', '.join(given)} of a parameter, "
                    f"where {', '.join(needed) or 'nothing'} belongs: make the optimizer of the class that saved it"
                )
            loaded[p] = {name: self._loaded(name, value, p) for name, value in given.items()}
            loaded[p].setdefault("step", 1)
        return loaded

    def _loaded(self, name: str, value: Any, p: Tensor) -> Any:
        if name in self.counts:
            return self.counts[name](value)
        array = np.asarray(numbers(value, name)).astype(p.dtype)
        if array.shape != p.shape:
            raise ShapeError(
                f"{name} of shape {array.shape} is remembered for a parameter of shape {p.shape}: another model's"
            )
        return array

    def _members(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _form_runs(self, members: Sequence[Tensor], slots: Mapping[str, float]) -> list[Run]:
        """Cut `members` into runs, and lay what is remembered of each run's members end to end."""
        cut: list[list[Tensor]] = []
        for p in members:
            memory = self.state.setdefault(p, {"step": 0})
            for name, start in slots.items():
                memory.setdefault(name, np.full(p.shape, start, p.dtype))
            joins = cut and memory["step"] == self.state[cut[-1][-1]]["step"]
            if joins and consecutive([q._data for q in (*cut[-1], p)]) is not None:
                cut[-1].append(p)
            else:
                cut.append([p])
        return [self._form_run(run, slots) for run in cut]

    def _form_run(self, members: list[Tensor], slots: Iterable[str]) -> Run:
        state = {}
        for name in slots:
            state[name] = np.concatenate([self.state[p][name].ravel() for p in members])
            start = 0
            for p in members:
                self.state[p][name] = state[name][start : start + p.size].reshape(p.shape)
                start += p.size
        arrays = [p._data for p in members]
        weights = consecutive(arrays) if len(members) > 1 else arrays[0].reshape(-1)
        assert weights is not None
        apart = not np.may_share_memory(weights, arrays[0])
        return Run(members, arrays, weights, state, [self.state[p] for p in members], apart)


def _still_holds(runs: Sequence[Run], members: Sequence[Tensor]) -> bool:
    """True where the runs consist of just these members, where they were in memory."""
    i = 0
    for run in runs:
        for p, array in zip(run.members, run.arrays, strict=True):
            if i == len(members) or members[i] is not p or p._data is not array:
                return False
            i += 1
    return i == len(members)


def _dense(gradient: Any) -> np.ndarray:
    return gradient.dense() if isinstance(gradient, RowSparse) else gradient._data


def _copy(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value
