"""The parts of a run, built as the options say."""

from __future__ import annotations

import hashlib
import inspect
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aggregator import Aggregator, Faults, RunFolder, Survey
from aggregator.cohorts import cohorts_of
from aggregator.exam import Evaluate
from aggregator.named import SCHEDULES
from aggregator.robust.defence import groups_in
from aggregator.sampling import SAMPLERS
from aggregator.spending import narrowed
from clients import POOLS, ClientSource, Policy
from clients.behaviours import BEHAVIOURS, infiltrate
from clients.rounding import NAME as ROUNDING
from fedlearn.datasets import PARTITIONS
from fedlearn.datasets.examples import Examples
from fedlearn.datasets.vocabulary import Vocabulary
from fedlearn.disk import at_home, unused
from fedlearn.errors import BadInput
from fedlearn.modelfile import weights_file
from fedlearn.models import MODELS
from fedlearn.models.base import Model
from fedlearn.models.kinds import Kind
from fedlearn.numerics import check_portable
from fedlearn.privacy.asked import Privacy
from fedlearn.protocol import Pool
from fedlearn.registry import Registry
from fedlearn.sampling import Sampler, check_cohort
from fedlearn.secure import PROTECTIONS
from fedlearn.secure.base import DEFAULT_CODEC, Protection, Settings
from fedlearn.secure.kept import KeptKeys
from fedlearn.secure.pki import Pki
from fedlearn.seeding import stream
from fedlearn.spec import keys_of, read_settings
from fedlearn.strategies import STRATEGIES, Strategy
from scenarios.command import coding
from scenarios.command.about import flag
from scenarios.command.config import run_toml
from scenarios.command.options import ABOUT, DEFAULTS, NOT_CONFIGURATION, Options
from scenarios.command.rules import rule_of

log = logging.getLogger(__name__)

OF_PROTECTIONS = ("pki", "keys", "key_bits", "min_cohort", "max_overlap", "insecure_test_key")
OF_POOLS = {
    "workers": "workers",
    "ray_address": "address",
    "deadline": "deadline",
}  # options, and what a pool calls them
LOCAL = ("epochs", "batch_size", "lr")  # options that a strategy may have a key for
OWN: dict[str, Registry] = {  # options that may name a class of the user's own
    "sampler": SAMPLERS, "partition": PARTITIONS, "malicious": BEHAVIOURS, "model": MODELS, "strategy": STRATEGIES,
    "protection": PROTECTIONS, "server_lr_schedule": SCHEDULES,
}  # fmt: skip


NAMES_FILE: dict[str, Callable[[str], str]] = {  # options that may name another file: which, or ""
    "vocabulary": lambda value: value.partition(":")[2], "from_": lambda value: str(weights_file(value)),
}  # fmt: skip


def configuration(options: Options, scenario: str) -> dict[str, Any]:
    """All that decides the run's numbers, the contents of the user's files among them."""
    values: dict[str, Any] = {"scenario": scenario}
    for name in ABOUT:
        if name not in NOT_CONFIGURATION:
            value, key = getattr(options, name), name.rstrip("_")
            values[key] = value
            digest = _digest_of_files(name, value) if isinstance(value, str) else ""
            values |= {f"{key}_sha256": digest} if digest else {}
    if options.pki is not None:
        values["pki_sha256"] = _digest_of(sorted(at_home(options.pki).glob("*.public")))
    return values


def _digest_of_files(name: str, value: str) -> str:
    """SHA-256 of the files that an option names beside its data, or ""."""
    files: list[Path] = []
    argument: str | None = NAMES_FILE[name](value) if name in NAMES_FILE else None
    if name in OWN:
        thing, argument = OWN[name].split(value)
        if ":" in thing:
            files.append(Path(inspect.getfile(OWN[name].load(thing))))
    if argument and (file := at_home(argument)).is_file():
        files.append(file)
    return _digest_of(files) if files else ""


def _digest_of(files: Sequence[Path]) -> str:
    """SHA-256 of what is in all of them, in this order."""
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()


def folder(options: Options, scenario: str, data: dict[str, Any], description: bytes = b"") -> RunFolder:
    """The folder of this run; data: what the scenario says of its data set; description: of the model, for its file."""
    if options.portable:
        check_portable()
    if options.strict_bits and not options.resume:
        raise BadInput("--strict-bits has no effect without --resume DIR: leave it out")
    return RunFolder(
        place(options, scenario), configuration(options, scenario), data,
        record=options.record, resume=options.resume, transcript=options.transcript, strict_bits=options.strict_bits,
        files={"run.toml": run_toml(options, scenario).encode()}, description=description,
    )  # fmt: skip


def place(options: Options, scenario: str) -> Path:
    """The path of --out, or a new one under runs/; runs of the same second get numbers."""
    return options.out or unused(Path("runs") / f"{scenario}-{time.strftime('%Y%m%d-%H%M%S')}-seed{options.seed}")


def summary(options: Options) -> dict[str, Any]:
    """The words of a model's file on its training; run.json says the rest.

    Nothing that may leave the weights as they are, as protection, pool, the form of files, or another name of the same
    strategy: the file is hashed, and equal models are to have equal hashes.
    """
    values = {name: getattr(options, name) for name in ("rounds", "clients", "cohort", "seed")}
    return {name: value for name, value in values.items() if value is not None}


def model_class(options: Options, kinds: Sequence[type[Kind]]) -> type[Model]:
    """The class of the model, which reads one of these kinds of samples; raises `BadInput` for any other."""
    found: type[Model] = MODELS.load(options.model)
    if found.reads not in kinds:
        reads = found.reads.about if found.reads else "nothing that a scenario has"
        fitting = [name for name in MODELS.entries if MODELS.load(name).reads in kinds]
        raise BadInput(
            f"--model {options.model} reads {reads}; this scenario has {' or '.join(kind.about for kind in kinds)}: "
            f"choose {', '.join(fitting)} (`fedlearn list model` says where each can be used)"
        )
    return found


def model(options: Options, samples: Kind) -> Model:
    """The model for these samples, --dim wide, with first weights by the seed."""
    kind = model_class(options, [type(samples)])
    width = {} if options.dim is None else {"width": options.dim}
    return kind.for_samples(samples, **width, rng=stream(options.seed, "model"))


def strategy(options: Options, max_weight: int | None = None) -> Strategy:
    """The strategy that the options name.

    max_weight: the most examples that a client of the scenario has, where it is known to everybody.

    Raises `BadInput` where the strategy's own keys contradict an option.
    """
    name, argument = STRATEGIES.split(options.strategy)
    kind = STRATEGIES.load(name)
    keys = keys_of(kind)
    settings = read_settings(argument, keys, f"strategy {name}", positional=False)
    for key in LOCAL:
        value = getattr(options, key)
        if key in settings and value is not None and key not in options.defaulted and value != settings[key]:
            raise BadInput(
                f"{flag(key)} {value} and --strategy {options.strategy} contradict each other: give {key} once"
            )
    if options.dp is not None and "max_weight" in settings:
        raise BadInput("max_weight in --strategy has no effect with --dp, where all clients weigh 1: leave it out")
    given = {key: getattr(options, key) for key in LOCAL} | {"max_weight": max_weight}
    values = {key: value for key, value in given.items() if value is not None and key in keys}
    built: Strategy = kind(**values | settings)
    return built


def protection(options: Options, cohort: int, bound: float = DEFAULT_CODEC.bound) -> Protection:
    """The protection that the options name.

    cohort: clients a round, which the codec must hold. bound: the scenario's default for updates. Raises `BadInput` for
    an option that has no effect under this protection.
    """
    check_effects(options, options.protection or "none")
    simulated = faults(options)
    sampled = simulated.sampled(cohort) if simulated else cohort
    limit = SAMPLERS.load(SAMPLERS.split(options.sampler)[0]).limit(sampled)
    default = replace(DEFAULT_CODEC, bound=bound, addends=max(DEFAULT_CODEC.addends, limit))
    fixed = coding.codec(options, **default.to_dict())
    settings = Settings(
        fixed, options.key_bits, options.min_cohort, options.max_overlap, options.insecure_test_key, kept_keys(options)
    )
    built: Protection = PROTECTIONS.parse(options.protection or "none", settings)
    return built


def idle(options: Options, spec: str) -> list[str]:
    """The options that were given and that a protection has no parameter for; none where its class takes any."""
    kind = PROTECTIONS.load(PROTECTIONS.split(spec)[0])
    taken = {*keys_of(kind), *(["pki"] if kind.signed or kind.enrolled else [])}
    return [name for name, _ in options.said() if name in OF_PROTECTIONS and name not in taken]


def under(options: Options, spec: str) -> Options:
    """The options of one among several federations: with this protection, and without what only the others take."""
    return replace(options, protection=spec, **{name: DEFAULTS[name] for name in idle(options, spec)})


def check_effects(options: Options, *specs: str) -> None:
    """Raise `BadInput` for an option of which none of these protections takes note."""
    for name in OF_PROTECTIONS:
        if all(name in idle(options, spec) for spec in specs):
            raise BadInput(f"{options.typed(name)} has no effect with --protection {','.join(specs)}: leave it out")


def kept_keys(options: Options) -> KeptKeys | None:
    """The keys that --keys names; raises `BadInput` for a passphrase without keys."""
    if options.keys is None and options.passphrase_file is not None:
        raise BadInput(f"--passphrase-file {options.passphrase_file} has no effect without --keys DIR: leave it out")
    if options.keys is None:
        return None
    return KeptKeys(Path(options.keys), Path(options.passphrase_file) if options.passphrase_file else None)


def privacy(options: Options) -> Privacy | None:
    """The privacy that --dp asks for; raises `BadInput` for --dp-seed without it."""
    if options.dp is None and options.dp_seed is not None:
        raise BadInput(f"--dp-seed {options.dp_seed} has no effect without --dp: leave it out")
    asked = None if options.dp is None else Privacy.parse(options.dp, options.dp_seed)
    if asked is not None and asked.unit == "example" and options.malicious is not None:
        raise BadInput(f"--malicious {options.malicious} changes whole updates, and with unit=example there are none")
    return asked


def _counted(asked: Privacy | None, clients: ClientSource) -> Privacy | None:
    """The same with the number of examples of all clients, which is public where single examples are protected."""
    if asked is None or asked.unit == "client" or asked.examples is not None:
        return asked
    return replace(asked, examples=sum(len(clients[i].data) for i in range(len(clients))))


def faults(options: Options) -> Faults | None:
    return Faults.parse(options.faults)


def sampler(options: Options, clients: ClientSource) -> Sampler:
    """The sampler that the options name; one that needs the clients' numbers of examples asks them."""
    built: Sampler = SAMPLERS.parse(options.sampler, lambda: [len(clients[i].data) for i in range(len(clients))])
    return built


def infiltrated(
    options: Options, clients: ClientSource, classes: int, vocabulary: Vocabulary | None = None
) -> ClientSource:
    """The clients, some of them malicious where --malicious says so; classes, vocabulary: as in a `Crew`."""
    if options.malicious is None:
        return clients
    people = infiltrate(
        clients, options.malicious,
        cohort=options.cohort or len(clients), seed=options.seed, classes=classes, vocabulary=vocabulary,
    )  # fmt: skip
    log.warning("some clients are malicious: %s", options.malicious)
    return people


def aggregator(
    options: Options,
    model: Model,
    clients: ClientSource,
    evaluate: Evaluate,
    folder: RunFolder | None,
    *,
    bound: float = DEFAULT_CODEC.bound,
    max_weight: int | None = None,
    vocabulary: dict[str, Any] | None = None,
    trusted: Examples | None = None,
    evaluate_clients: Survey | bool = False,
) -> Aggregator:
    """The server side. folder: None keeps nothing; bound: of the codec.

    max_weight: as in `strategy`; trusted: as in `rule_of`; evaluate_clients: as `surveying.surveyed` has it.
    """
    hidden, sampled = protection(options, options.cohort or len(clients), bound), sampler(options, clients)
    asked, simulated = _counted(privacy(options), clients), faults(options)
    if asked is not None and "bits" not in coding.said(options):
        size = check_cohort(options.cohort, len(clients))
        groups = groups_in(rule_of(options), options.group_size, size, hidden)
        cohorts = cohorts_of(asked, hidden, sampled, simulated, len(clients), size, options.rounds, groups)
        hidden = narrowed(asked, hidden, cohorts, options.seed, model.vector.size)
    return Aggregator(
        model,
        strategy=strategy(options, max_weight),
        protection=hidden,
        cohort=options.cohort,
        sampler=sampled,
        seed=options.seed,
        vocabulary=vocabulary,
        server_lr_schedule=options.server_lr_schedule,
        evaluate=evaluate,
        evaluate_every=options.evaluate_every or 1,
        evaluate_clients=evaluate_clients,
        watch=options.watch,
        stop_after=options.stop_after,
        folder=folder,
        trackers=options.trackers,
        faults=simulated,
        stack=options.stack,
        kernels=options.kernels,
        deadline=options.deadline,
        pki=options.pki,
        privacy=asked,
        robust=rule_of(options, trusted),
        group_size=options.group_size,
        compression=coding.compression(options),
    )


def policy(options: Options) -> Policy | None:
    """The rules of the clients about plans: they sign with the keys of --pki."""
    return None if options.pki is None else Policy(pki=Pki(Path(options.pki)))


def pool(options: Options, clients: ClientSource, folder: RunFolder | None = None) -> Pool:
    """The pool that the options name.

    folder: of a run whose rounding is measured too, where it is recorded and the pool can.

    Raises `BadInput` for an option that has no effect in this pool.
    """
    kind = POOLS.load(options.pool)
    taken = keys_of(kind).keys()
    for name, _ in options.said():
        if name == "deadline" and _has_openers(options):
            continue
        if OF_POOLS.get(name, "clients") not in taken and not options.resume:  # which may go on in another pool
            raise BadInput(f"{options.typed(name)} has no effect with --pool {options.pool}: leave it out")
    given = {key: getattr(options, name) for name, key in OF_POOLS.items() if key in taken}
    if options.pki is not None:
        given["policy"] = policy(options)
    if folder is not None and options.record and "rounding" in taken:
        given["rounding"] = folder.path / ROUNDING
    built: Pool = kind(clients, **given)
    return built


def _has_openers(options: Options) -> bool:
    """True where the protection starts processes that are waited for."""
    return PROTECTIONS.load(PROTECTIONS.split(options.protection or "none")[0]).openers is not Protection.openers
