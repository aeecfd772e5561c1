"""The options that a scenario takes, and its own defaults: data that help, `fedlearn describe` and the run share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedlearn.errors import BadInput
from fedlearn.models.kinds import Kind
from scenarios.command.options import DEFAULTS, Options

EVERYBODY = ("seed", "out")
FEDERATION = (
    "cohort", "sampler", "malicious", "from_", "strategy", "key_bits", "insecure_test_key", "keys", "passphrase_file",
    "pki", "min_cohort", "max_overlap", "robust", "group_size", "codec", "sparsify", "dp", "dp_seed", "faults", "pool",
    "workers", "deadline", "ray_address", "stack", "transcript", "record", "resume", "portable", "strict_bits",
    "server_lr_schedule", "evaluate_every", "evaluate", "watch", "stop_after",
)  # fmt: skip
OF_THE_MODEL = ("model", "dim", "vocabulary")  # what a trained model says by itself, where it is gone on from


@dataclass(frozen=True)
class Varies:
    """A default that follows from the data or from other options: what help says of it."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Takes:
    """The options that a scenario takes, with its defaults; those of `Options` where it has none of its own.

    reads: the kinds of samples that it has for models (`fedlearn.models.kinds`); task: the kind of its data sets.
    """

    defaults: Mapping[str, Any]
    reads: tuple[type[Kind], ...] = ()
    task: str = ""

    def fill(self, options: Options) -> Options:
        """The options with the defaults of the scenario; what `Varies` stays None, for the scenario itself to fill, and
        so does what a trained model says by itself, where training goes on from one.

        Raises `BadInput` for an option that was given and that the scenario does not take: it would have no effect.
        """
        for name, _ in options.said():
            if name not in self.defaults:
                raise BadInput(
                    f"{options.typed(name)} has no effect in this scenario: leave it out, "
                    "or see `fedlearn run SCENARIO --help`"
                )
        left = OF_THE_MODEL if options.from_ is not None else ()
        return options.filled(
            **{name: v for name, v in self.defaults.items() if not isinstance(v, Varies) and name not in left}
        )


def for_story(*, reads: tuple[type[Kind], ...] = (), task: str = "", **defaults: Any) -> Takes:
    """For a story that brings its own clients, or has none: it takes these options and no others."""
    return Takes(_in_order({name: DEFAULTS[name] for name in EVERYBODY} | defaults), reads, task)


def for_federation(*, reads: tuple[type[Kind], ...], task: str, **defaults: Any) -> Takes:
    """For a federation of the user's making: these options, and all that every federation takes."""
    common = {name: DEFAULTS[name] for name in (*EVERYBODY, *FEDERATION)}
    return Takes(_in_order(common | defaults), reads, task)


def _in_order(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """In the order in which `Options` has them."""
    return {name: defaults[name] for name in DEFAULTS if name in defaults}
