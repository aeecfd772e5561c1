"""What a user can say about a run, and the parts of a run built from it.

An option left at None takes the scenario's own default (`Options.filled`); one that it cannot use is refused.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import chain, count
from pathlib import Path
from typing import Any, Literal, Self

from aggregator import Aggregator, Faults, History, RunFolder, Tracker
from aggregator.aggregator import Evaluate
from aggregator.sampling import SAMPLERS, Sampler
from clients import POOLS, ClientSource
from clients.behaviours import infiltrate
from fedlearn.crypto import FixedPoint
from fedlearn.crypto.keys import KEY_BITS
from fedlearn.datasets.vocabulary import Vocabulary
from fedlearn.errors import BadInput
from fedlearn.models import MODELS
from fedlearn.models.base import Model
from fedlearn.protocol import Pool
from fedlearn.secure import PROTECTIONS
from fedlearn.secure.base import DEFAULT_CODEC, MIN_COHORT, Protection, Settings
from fedlearn.spec import Key, keys_of, read_settings
from fedlearn.strategies import STRATEGIES, Strategy

log = logging.getLogger(__name__)

# These change where and how a run is computed or shown, and no number in it.
NOT_CONFIGURATION = ("out", "resume", "pool", "workers", "ray_address", "trackers", "record", "stack", "transcript")
# What a scenario takes beside the options that it names, and what a federation of a user's making does.
FOR_EVERYBODY = ("seed", "out", "trackers")
FOR_FEDERATIONS = (
    *FOR_EVERYBODY, "cohort", "sampler", "malicious", "strategy", "key_bits", "insecure_test_key", "min_cohort",
    "max_overlap", "codec", "faults", "pool", "workers", "ray_address", "stack", "transcript", "record", "resume",
)  # fmt: skip
CODEC_KEYS = {
    "bits": Key(int, example="24"),
    "bound": Key(float, example="4"),
    "addends": Key(int, example="100"),
    "overflow": Key(Literal["refuse", "clip"], example="clip"),
}


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
    sampler: str = "uniform"
    rounds: int | Any = None
    epochs: int | Any = None
    batch_size: int | Any = None
    lr: float | Any = None
    partition: str | Any = None
    malicious: str | None = None
    protection: str | Any = None
    key_bits: int = KEY_BITS
    insecure_test_key: bool = False
    min_cohort: int = MIN_COHORT
    max_overlap: int | None = None
    codec: str = ""
    strategy: str = "fedavg"
    faults: str = "none"
    network: str | None = None
    pool: str = "inline"
    workers: int = 2
    ray_address: str | None = None
    stack: str = "auto"
    kernels: str = "numpy"
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
        """As `filled`, for a story that brings its own clients, or has none; refuses other options than it names."""
        taken = (*defaults, *FOR_EVERYBODY)
        self._refuse_but(taken, f", which takes {', '.join(_flag(name) for name in taken if name != 'trackers')}")
        return self.filled(**defaults)

    def federated(self, **defaults: Any) -> Options:
        """As `filled`, for a federation of a user's making; refuses options that neither it nor the scenario has."""
        self._refuse_but((*defaults, *FOR_FEDERATIONS))
        return self.filled(**defaults)

    def _refuse_but(self, taken: Sequence[str], which: str = "") -> None:
        """Raise `BadInput` for an option that was given and is not `taken`: it would have no effect."""
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name not in taken and value != f.default:
                given = _flag(f.name) if value is True else f"{_flag(f.name)} {value}"
                raise BadInput(f"{given} has no effect in this scenario{which}: leave it out")

    def configuration(self, scenario: str) -> dict[str, Any]:
        """All that decides the run's numbers."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in NOT_CONFIGURATION}
        file = Path(self.sampler.partition(":")[2])
        if file.is_file():  # what it says counts, not its name alone
            values["sampler_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
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

    def build_protection(self, cohort: int, bound: float = DEFAULT_CODEC.bound) -> Protection:
        """cohort: clients a round, which the codec must hold. bound: the scenario's default for updates."""
        faults = self.build_faults()
        sampled = faults.sampled(cohort) if faults else cohort
        most = SAMPLERS.load(self.sampler.partition(":")[0]).limit(sampled)
        default = replace(DEFAULT_CODEC, bound=bound, addends=max(DEFAULT_CODEC.addends, most))
        codec = parse_codec(self.codec, **default.to_dict())
        settings = Settings(codec, self.key_bits, self.min_cohort, self.max_overlap, self.insecure_test_key)
        return PROTECTIONS.parse(self.protection or "none", settings)

    def infiltrated(self, clients: ClientSource, classes: int, vocabulary: Vocabulary | None = None) -> ClientSource:
        """The clients, some of them malicious where --malicious says so; classes, vocabulary: as in a `Crew`."""
        if self.malicious is None:
            return clients
        log.warning("some clients are malicious: %s", self.malicious)
        cohort = self.cohort or len(clients)
        return infiltrate(
            clients, self.malicious, cohort=cohort, seed=self.seed, classes=classes, vocabulary=vocabulary
        )

    def build_aggregator(
        self,
        model: Model,
        clients: ClientSource,
        evaluate: Evaluate,
        folder: RunFolder | None,
        *,
        bound: float = DEFAULT_CODEC.bound,
        max_weight: int | None = None,
        vocabulary: dict[str, Any] | None = None,
    ) -> Aggregator:
        """The server side as the options say. folder: None keeps nothing; bound: of the codec; max_weight: as in
        `build_strategy`."""
        return Aggregator(
            model,
            strategy=self.build_strategy(max_weight),
            protection=self.build_protection(self.cohort or len(clients), bound),
            cohort=self.cohort,
            sampler=self.build_sampler(clients),
            seed=self.seed,
            vocabulary=vocabulary,
            evaluate=evaluate,
            folder=folder,
            trackers=self.trackers,
            faults=self.build_faults(),
            stack=self.stack,
            kernels=self.kernels,
        )

    def build_sampler(self, clients: ClientSource) -> Sampler:
        """clients: they are asked for their numbers of examples, which no protection tells, where it needs them."""
        return SAMPLERS.parse(self.sampler, lambda: [len(clients[i].data) for i in range(len(clients))])

    def build_faults(self) -> Faults | None:
        return Faults.parse(self.faults)

    def build_pool(self, clients: ClientSource) -> Pool:
        arguments: dict[str, Any] = {} if self.pool == "inline" else {"workers": self.workers}
        if self.pool == "ray":
            arguments["address"] = self.ray_address
        elif self.ray_address is not None:
            raise BadInput(f"--ray-address {self.ray_address} has no effect with --pool {self.pool}: use --pool ray")
        return POOLS.load(self.pool)(clients, **arguments)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _unused(path: Path) -> Path:
    """The path, or where a run of the same second has it, the path with a number."""
    numbered = (path.with_name(f"{path.name}-{number}") for number in count(2))
    return next(p for p in chain([path], numbered) if not p.exists())


def parse_strategy(text: str, given: dict[str, Any]) -> Strategy:
    """An algorithm from `NAME` or `NAME:key=value,...`, as in fedprox:mu=0.1; `given` are its other arguments.

    Of these, those are left out that it does not have.
    """
    name, argument = STRATEGIES.split(text)
    kind = STRATEGIES.load(name)
    keys = keys_of(kind)
    values = {key: value for key, value in given.items() if key in keys}
    return kind(**values | read_settings(argument, keys, f"strategy {name}", positional=False))


def parse_codec(text: str, **values: Any) -> FixedPoint:
    """A codec from `bits=B,bound=X,addends=N,overflow=refuse|clip`; what is not named keeps its default."""
    return FixedPoint(**values | read_settings(text or None, CODEC_KEYS, "codec", positional=False))


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

    @classmethod
    def of(cls, history: History, options: Options, folder: RunFolder, claims: list[Claim], story: str) -> Self:
        """What came of a federation."""
        simulated = [record.simulated_seconds for record in history.rounds if record.simulated_seconds is not None]
        if simulated:
            lost = sum(record.clients_failed for record in history.rounds)
            claims = [*claims, Claim("simulated_seconds", sum(simulated), "s"), Claim("clients_lost", lost)]
        return cls(
            folder.path, options.seed, len(history.rounds), history.metrics, history.model_sha256,
            history.seconds, history.bytes_up, history.bytes_down, claims, story,
        )  # fmt: skip

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
