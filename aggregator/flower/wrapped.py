"""Strategies that can be given one reply, the mean, in the place of all; others are refused by name."""

from __future__ import annotations

from typing import Any

from flwr.serverapp.strategy import FedAvg, Strategy

from fedlearn.errors import BadInput

LOOKS_AT_EACH = {  # what they do with single replies, of which there are none
    "Krum": "compares single updates",
    "MultiKrum": "compares single updates",
    "Bulyan": "compares single updates",
    "FedMedian": "takes medians of single updates",
    "FedTrimmedAvg": "leaves out the largest and smallest of single updates",
    "QFedAvg": "weighs each update by that node's own loss",
    "FedXgbBagging": "appends each node's trees",
    "FedXgbCyclic": "passes one node's trees on to the next",
    "DifferentialPrivacyServerSideFixedClipping": "clips single updates at the server",
    "DifferentialPrivacyServerSideAdaptiveClipping": "clips single updates at the server",
    "DifferentialPrivacyClientSideAdaptiveClipping": "reads whether each node clipped",
}
INSTEAD = "take FedAvg or one made of it, or DifferentialPrivacyClientSideFixedClipping around one"


def noise_is_for(strategy: Any) -> int | None:
    """For how many nodes a wrapper's noise is; None where there is no noise."""
    noisy = getattr(strategy, "noise_multiplier", 0)
    return int(strategy.num_sampled_clients) if noisy else None


def innermost(strategy: Any) -> FedAvg:
    """The FedAvg, or what is made of it, within wrappers; raises `BadInput` for one that cannot be given a mean."""
    if not isinstance(strategy, Strategy):
        raise BadInput(f"SecureSums is given {strategy!r:.80}: give a strategy of flwr.serverapp.strategy")
    inner = strategy
    while True:
        for kind in type(inner).__mro__:
            if kind.__name__ in LOOKS_AT_EACH:
                raise BadInput(
                    f"{type(inner).__name__} {LOOKS_AT_EACH[kind.__name__]}, and under SecureSums there is only their "
                    f"sum: {INSTEAD}"
                )
        if type(inner).__name__ == "SecureSums":
            raise BadInput("SecureSums is given another SecureSums: one protection is enough, wrap the strategy once")
        if getattr(inner, "accountant", None) is not None:
            raise BadInput(
                f"{type(inner).__name__} has an accountant, which counts single replies and takes none of a sum: "
                "leave it out, or account by `fedlearn privacy`"
            )
        if type(inner).start is not Strategy.start:
            raise BadInput(f"{type(inner).__name__} has a start of its own, which SecureSums would not run: {INSTEAD}")
        if isinstance(inner, FedAvg):
            return inner
        within = getattr(inner, "strategy", None)
        if not isinstance(within, Strategy):
            raise BadInput(f"{type(inner).__name__} is no FedAvg, nor wraps one: {INSTEAD}")
        inner = within
