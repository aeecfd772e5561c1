"""The work of a session's clients: train a model by a strategy, or answer a query. The rest of it is the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from fedlearn.autograd import Tensor
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.nn import Module, Parameter, init
from fedlearn.nn.spec import build, module_differences
from fedlearn.privacy.terms import Terms
from fedlearn.queries.base import Query
from fedlearn.secure.compression import NO_COMPRESSION, Compression
from fedlearn.secure.counts import CountLayout
from fedlearn.secure.layout import Layout
from fedlearn.secure.layouts import layout_of
from fedlearn.strategies.base import Strategy
from fedlearn.training.flat import check_stack, weights_in
from fedlearn.travel import description
from fedlearn.wording import many

PARTLESS = ("fedlearn", "abc", "builtins")  # packages whose classes hold no parameters or modules


class Work(ABC):
    """The work of clients, as the plan says it.

    name: of the algorithm or query. described: it as plain data. model: the architecture, empty where nothing is
    trained. keeps: whether clients keep state between rounds. compression: how updates are made smaller. does: what
    they do, for people.
    """

    name: str
    described: Mapping[str, Any]
    model: Mapping[str, Any]
    keeps: bool = False
    compression: Compression = NO_COMPRESSION
    does: str

    @abstractmethod
    def layout(self, codec: FixedPoint, terms: Terms | None) -> Layout:
        """The layout of a protected vector; raises `CodecError` for what does not fit the codec. terms: of noise."""

    def check(self, stack: str) -> None:
        """Raise `BadInput` for what cannot work. stack: whether clients are trained side by side."""
        return


class Training(Work):
    """Clients train a model by a strategy."""

    def __init__(self, model: Model, strategy: Strategy, compression: Compression = NO_COMPRESSION):
        self._model, self._strategy, self._size = model, strategy, weights_in(model)
        self.name, self.compression = strategy.name, compression
        self.keeps = bool(strategy.keeps(self._size)) or compression.feedback
        self.described = description(strategy)
        self.does = f"train {many(self._size, 'weight')}"

    @property
    def model(self) -> Mapping[str, Any]:  # type: ignore[override]
        return self._model.spec()

    def layout(self, codec: FixedPoint, terms: Terms | None) -> Layout:
        strategy = self._strategy
        return layout_of(strategy.outputs(self._size), codec, strategy.max_weight, terms, self.compression)

    def check(self, stack: str) -> None:
        _check_no_running_statistics(self._model)
        _check_all_is_trained(self._model)
        _check_built_alike(self._model)
        check_stack(self._model, stack)


class Asking(Work):
    """Clients answer a query."""

    model: Mapping[str, Any] = {}

    def __init__(self, query: Query):
        self._query = query
        self.name = query.name
        self.described = description(query)
        self.does = f"count {many(sum(each.length for each in query.entries().values()), 'number')}"

    def layout(self, codec: FixedPoint, terms: Terms | None) -> Layout:
        return CountLayout.of_counts(self._query.entries(), codec, terms)


def _check_built_alike(model: Model) -> None:
    """Clients build the model of its description: refuse one that has become another since it was constructed."""
    parameters = list(model.parameters())
    if not parameters:
        raise BadInput(f"the {type(model).__name__} has no parameters: give a model with weights to train")
    if all(not parameter.requires_grad for parameter in parameters):
        raise BadInput(f"all parameters of the {type(model).__name__} are frozen: at least one must want a gradient")
    with init.left_blank():
        differences = module_differences(model, build(model.spec()))
    if differences:
        more = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise BadInput(
            f"clients would build another {type(model).__name__}: {'; '.join(differences[:3])}{more}; "
            "make that an argument of its constructor, or a class of its own"
        )


def _check_all_is_trained(model: Model) -> None:
    """Refuse a tensor that wants a gradient and is no parameter, and parameters or modules of a class, not an object.

    `model.parameters()` has none of these, so no client would train them.
    """
    for name, part in model.named_modules():
        own = vars(part)
        stray = [key for key, value in own.items() if type(value) is Tensor and value.requires_grad and value.is_leaf]
        theirs = [kind for kind in type(part).__mro__ if kind.__module__.partition(".")[0] not in PARTLESS]
        stray += [key for kind in theirs for key, value in vars(kind).items() if key not in own and _learns(value)]
        if stray:
            raise BadInput(
                f"{name or type(part).__name__}.{stray[0]} would not be trained: "
                "set it in __init__, as an nn.Parameter or a Module"
            )


def _learns(value: object) -> bool:
    """True for a parameter, and for a module with some."""
    return isinstance(value, Parameter) or (isinstance(value, Module) and any(True for _ in value.parameters()))


def _check_no_running_statistics(model: Model) -> None:
    running = [name for name, _ in model.named_buffers()]
    if running:
        raise BadInput(
            f"the model keeps running statistics ({', '.join(running)}), which no update carries: "
            "they would stay as they began; take LayerNorm, or BatchNorm with track_running_stats=False"
        )
