"""Evaluation of the global model: how often, which metric is watched, which round was the best, and when to stop."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from aggregator.examining import spread
from aggregator.history import Best, RoundRecord, checked_metrics
from aggregator.surveying import Survey
from fedlearn.configured import whole_number
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.nn.parameter import flatten
from fedlearn.wording import many

Evaluate = Callable[[Any], dict[str, float]]
LOWER = ("loss", "error", "perplexity", "nats")  # metrics whose names end so are better when lower, deciles too
DIRECTIONS = {"min": True, "max": False}


class Exam:
    """Measures the model every `every` rounds and after the last, and keeps an eye on one metric.

    watch: its name, or name:min or name:max where the name does not say what is better; None watches nothing.
    stop_after: so many evaluations without a better one end the run; None never does. of_clients: whether
    clients measure it too; a Survey opens their sum, True asks them one by one.

    best: None before the first evaluation, and where nothing is watched. waited: evaluations since.
    """

    def __init__(self, evaluate: Evaluate | None, every: Any, watch: Any, stop_after: Any, of_clients: Any):
        if evaluate is not None and not callable(evaluate):
            raise BadInput(f"evaluate is {evaluate!r:.80}; give a function from the model to its metrics by name")
        if not isinstance(of_clients, bool | Survey):
            raise BadInput(f"evaluate_clients is {of_clients!r:.80}; give Survey(clients, classes=2), or True")
        self.evaluate = evaluate
        self.of_clients = of_clients
        self.every = whole_number("evaluate_every", every, 1)
        self.stop_after = None if stop_after is None else whole_number("stop_after", stop_after, 1)
        if every != 1 and evaluate is None and not of_clients:
            raise BadInput(f"evaluate_every is {every}, and nothing is evaluated: give evaluate, or leave it out")
        self.metric, self._lower = _metric(watch if watch is not None or stop_after is None else "loss")
        self.best: Best | None = None
        self.waited = 0

    def check(self, model: Model) -> None:
        """Raise `BadInput` where the metric that is watched is none of those that the evaluation gives."""
        if not self.metric:
            return
        known = ["loss"] if self.evaluate is None else list(checked_metrics(self._measured(model, model.vector)))
        if self.of_clients:
            known += self.survey.names if self.survey else spread({0: {"loss": 0.0, "accuracy": 0.0}})
        if self.metric not in known:
            raise BadInput(f"the metric to watch, {self.metric!r}, is not measured: choose {', '.join(known)}")

    def recall(self, records: Iterable[RoundRecord]) -> None:
        """Know what the rounds of earlier sessions were like."""
        self.best, self.waited = None, 0
        for record in records:
            self.note(record)

    @property
    def survey(self) -> Survey | None:
        """The survey of clients, if there is one."""
        return self.of_clients if isinstance(self.of_clients, Survey) else None

    def surveys(self, rounds: int) -> int:
        """How many of so many rounds end with a survey."""
        return len({*range(self.every, rounds + 1, self.every), rounds}) if self.survey else 0

    def take(self, record: RoundRecord, model: Model, vector: np.ndarray, last: bool, ask: Callable[[], None]) -> None:
        """Enter into a round's record what the model is like, if it is its turn.

        vector: the model's. ask: enters what clients say of it.
        """
        if self.evaluate is None and not self.of_clients:
            return
        record.evaluated = last or record.round % self.every == 0
        if not record.evaluated:
            return
        if self.evaluate is not None:
            began = time.perf_counter()
            record.metrics = checked_metrics(self._measured(model, vector))
            record.evaluation_loss = record.metrics.pop("loss", None)
            record.seconds["evaluate"] = time.perf_counter() - began
        if self.of_clients and not record.void:
            began = time.perf_counter()
            ask()
            record.seconds["evaluate_clients"] = time.perf_counter() - began

    def note(self, record: RoundRecord) -> bool:
        """True if the round is the best so far by the metric that is watched."""
        value = {"loss": record.loss, **record.metrics}.get(self.metric)
        if not self.metric or not record.evaluated or value is None:
            return False
        self.waited += 1
        if math.isnan(value) or (self.best is not None and not self._better(value, self.best.value)):
            return False
        self.best, self.waited = Best(record.round, self.metric, value), 0
        return True

    def _better(self, value: float, than: float) -> bool:
        return value < than if self._lower else value > than

    @property
    def over(self) -> bool:
        """True if the run has waited long enough for a better round."""
        return self.stop_after is not None and self.waited >= self.stop_after

    @property
    def verdict(self) -> str:
        """Why the run ends before its last round; "" where it does not."""
        return f"no better {self.metric} in {many(self.waited, 'evaluation')}" if self.over else ""

    def _measured(self, model: Model, vector: np.ndarray) -> Any:
        """Call `evaluate` on the model. Raises `BadInput`, with the weights put back, where it changed them."""
        assert self.evaluate is not None
        model.eval()
        before = vector.tobytes()
        found = self.evaluate(model)
        if flatten(model.parameters()).tobytes() != before:  # bits, of which nan has some, too
            model.vector[:] = np.frombuffer(before, vector.dtype)
            raise BadInput("evaluate changed the model's weights: let it only measure, or work on a deep copy")
        return found


def _metric(watch: Any) -> tuple[str, bool]:
    """The name of a metric, and whether lower is better; "" for None."""
    name, colon, direction = ("" if watch is None else str(watch)).partition(":")
    if watch is not None and (not isinstance(watch, str) or not name or (colon and direction not in DIRECTIONS)):
        raise BadInput(f"watch is {watch!r:.80}: give the name of a metric, as f1, or with what is better, as f1:max")
    return name, DIRECTIONS[direction] if colon else re.sub(r"_p\d+$", "", name).endswith(LOWER)
