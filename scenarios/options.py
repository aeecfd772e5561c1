"""What a user can say about a run, and the parts of a run built from it.

An option left at None takes the scenario's own default (`Options.filled`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from aggregator import RunFolder, Tracker
from clients import POOLS, ClientSource
from fedlearn.crypto import FixedPoint
from fedlearn.errors import BadInput
from fedlearn.models import MODELS
from fedlearn.protocol import Pool
from fedlearn.secure import PROTECTIONS
from fedlearn.secure.base import Protection, Settings
from fedlearn.strategies import STRATEGIES, Strategy

# These change where and how a run is computed or shown, and no number in it.
NOT_CONFIGURATION = ("out", "resume", "pool", "workers", "trackers", "record", "stack", "transcript")
# What a story without parties can use beside the options that it names.
FOR_EVERYBODY = ("seed", "out", "trackers")
CODEC_KEYS = {"bits": int, "bound": float, "addends": int, "overflow": str}


@dataclass(frozen=True)
class Options:
    """The options of `fedlearn run`, in its words; see `fedlearn run --help`.

    Those that may be Any are None until a scenario has `filled` them.
    """

    data: str | Any = None
    model: str | Any = None
    dim: int | Any = None
    vocabulary: str | Any = None
    clients: int | Any = None
    examples_per_client: int | Any = None
    cohort: int | None = None
    rounds: int | Any = None
    epochs: int | Any = None
    batch_size: int | Any = None
    lr: float | Any = None
    partition: str | Any = None
    protection: str | Any = None
    key_bits: int = 3072
    insecure_test_key: bool = False
    min_cohort: int = 3
    max_overlap: int | None = None
    codec: str = ""
    strategy: str = "fedavg"
    pool: str = "inline"
    workers: int = 2
    stack: str = "auto"
    transcript: str = "full"
    seed: int = 0
    record: bool = False
    out: Path | None = None
    resume: bool = False
    trackers: Sequence[Tracker] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise BadInput(f"seed is {self.seed}, it must be 0 or more")
        for name in ("dim", "epochs", "batch_size", "examples_per_client"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}, at least 1 is needed: raise it")
        if self.resume and self.out is None:
            raise BadInput("--resume needs the folder of the run to go on with: give it with --out DIR")

    def filled(self, **defaults: Any) -> Options:
        """The same options, with the scenario's defaults where the user said nothing."""
        return replace(self, **{name: value for name, value in defaults.items() if getattr(self, name) is None})

    def alone(self, **defaults: Any) -> Options:
        """As `filled`, for a story without clients: an option that it does not name has no effect and is refused."""
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name not in defaults and f.name not in FOR_EVERYBODY and value != f.default:
                named = ", ".join(f"--{name.replace('_', '-')}" for name in (*defaults, *FOR_EVERYBODY[:2]))
                flag = f"--{f.name.replace('_', '-')}"
                raise BadInput(f"{flag} {value} has no effect in this scenario, which takes {named}: leave it out")
        return self.filled(**defaults)

    def configuration(self, scenario: str) -> dict[str, Any]:
        """All that decides the run's numbers."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in NOT_CONFIGURATION}
        return {"scenario": scenario} | values

    def folder(self, scenario: str, data: dict[str, Any]) -> RunFolder:
        """Where this run is kept; data: what the scenario says of its data set."""
        path = self.out or _unused(Path("runs") / f"{scenario}-{time.strftime('%Y%m%d-%H%M%S')}-seed{self.seed}")
        return RunFolder(
            path, self.configuration(scenario), data,
            record=self.record, resume=self.resume, transcript=self.transcript,
        )  # fmt: skip

    def model_class(self, family: type) -> Any:
        """The class of the model by name; raises `BadInput` for one that is not of the scenario's `family`."""
        chosen = MODELS.load(self.model)
        if not issubclass(chosen, family):
            fitting = [name for name in MODELS.entries if issubclass(MODELS.load(name), family)]
            raise BadInput(f"model {self.model} is not for this scenario's data: choose {', '.join(fitting)}")
        return chosen

    def build_strategy(self, max_weight: int | None = None) -> Strategy:
        """max_weight: the most examples that a client of the scenario has, where it is known to everybody."""
        given = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr, "max_weight": max_weight}
        return parse_strategy(self.strategy, {name: value for name, value in given.items() if value is not None})

    def build_protection(self, cohort: int, bound: float) -> Protection:
        """cohort: clients a round, which the codec must hold. bound: the scenario's default for updates."""
        codec = parse_codec(self.codec, bits=24, bound=bound, addends=max(100, cohort), overflow="refuse")
        settings = Settings(codec, self.key_bits, self.min_cohort, self.max_overlap, self.insecure_test_key)
        return PROTECTIONS.parse(self.protection or "none", settings)

    def build_pool(self, clients: ClientSource) -> Pool:
        arguments = {"workers": self.workers} if self.pool == "processes" else {}
        return POOLS.load(self.pool)(clients, **arguments)


def _unused(path: Path) -> Path:
    """The path, or where a run of the same second has it, the path with a number."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(p for p in chain([path], numbered) if not p.exists())


def parse_strategy(text: str, given: dict[str, Any]) -> Strategy:
    """An algorithm from `NAME` or `NAME:key=value,...`, as in fedprox:mu=0.1; `given` are its other arguments."""
    name, _, rest = text.partition(":")
    kind = STRATEGIES.load(name)
    known: dict[str, Any] = {f.name: type(f.default) for f in fields(kind)}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if key not in known or not equals:
            raise BadInput(f"strategy entry {part!r} is not one of {', '.join(known)} with a value, as lr=0.1")
        try:
            given[key] = known[key](value)
        except ValueError:
            raise BadInput(f"strategy {name} has {key}={value!r}, a number is needed") from None
    return kind(**given)


def parse_codec(text: str, **values: Any) -> FixedPoint:
    """A codec from `bits=B,bound=X,addends=N,overflow=refuse|clip`; what is not named keeps its default."""
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if name not in CODEC_KEYS or not equals:
            raise BadInput(f"codec entry {part!r} is not one of {', '.join(CODEC_KEYS)} with a value, as bits=24")
        try:
            values[name] = CODEC_KEYS[name](value)
        except ValueError:
            raise BadInput(f"codec {name} is {value!r}, a number is needed, as in --codec bits=24,bound=4") from None
    return FixedPoint(**values)


@dataclass
class Outcome:
    """What a scenario reports. claims: the figures it states; story: its last words to the user."""

    run_dir: Path
    seed: int
    rounds: int
    metrics: dict[str, float] = field(default_factory=dict)
    model_sha256: str = ""
    seconds: float = 0.0
    bytes_up: int = 0
    bytes_down: int = 0
    claims: list[Claim] = field(default_factory=list)
    story: str = ""

    def to_dict(self, scenario: str) -> dict[str, Any]:
        values = asdict(self) | {"run_dir": str(self.run_dir)}
        values.pop("story")
        return {"scenario": scenario} | values


@dataclass
class Claim:
    """One figure that a scenario states, under the name that its documentation uses."""

    name: str
    value: float
    unit: str = ""
