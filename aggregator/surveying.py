"""Evaluation by clients from opened sums: a function that measures the model, for `Aggregator(evaluate=...)`.

Each time it is a question of its own (`aggregator.ask`), with keys of its own: so many clients answer, nobody reads one
answer, and the sum says how good the model is on all their examples, and to whom.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aggregator.asking import ask
from aggregator.exam import Evaluate
from fedlearn.configured import whole_number
from fedlearn.models.base import Model
from fedlearn.queries.classes import MOST_CLASSES
from fedlearn.queries.evaluation import Evaluation
from fedlearn.sampling import Sampler
from fedlearn.secure.base import Protection

MOST = 2**16 - 1  # examples of one client


class Survey:
    """Measures a model on clients' own examples, as `client_accuracy`, `client_f1`, `client_accuracy_p10`...

    clients: a function that gives a pool of them, anew each time, or the clients themselves. protection: what hides
    their answers, or its name. classes: how many their labels name. evaluate: what else is measured. cohort, sampler,
    seed: who is asked; the same each time, so that one round compares with the next.
    """

    def __init__(
        self, clients: Callable[[], Any] | Any, protection: Protection | str | None, classes: int,
        evaluate: Evaluate | None = None, *, cohort: int | None = None, sampler: Sampler | str | None = None,
        seed: int = 0,
    ):  # fmt: skip
        self._clients = clients if callable(clients) else lambda: clients
        self._protection = protection
        self._classes = whole_number("classes", classes, 2, MOST_CLASSES)
        self._evaluate = evaluate
        self._who: dict[str, Any] = {"cohort": cohort, "sampler": sampler, "seed": seed}

    def __call__(self, model: Model) -> dict[str, float]:
        measured = dict(self._evaluate(model)) if self._evaluate is not None else {}
        question = Evaluation.of(model, self._classes, MOST)
        found = ask(question, self._clients(), self._protection, **self._who)
        values, deciles = found.values, found.values["accuracy_deciles"] or {}
        said = {name: values[name] for name in ("accuracy", "f1", "worst_tenth")}
        said |= {f"accuracy_{name}": value for name, value in deciles.items()}
        said |= {"bytes_up": float(found.history.bytes_up), "clients": float(found.clients)}
        return measured | {f"client_{name}": float(value) for name, value in said.items() if value is not None}
