"""The costs of protection: bytes, computing and the time of a round, side by side.

The same federation trains under each protection, and what its last round took is measured: bytes from the transcript,
seconds of clients, aggregator and key holders by the clock. From that follow hundreds of simulated rounds over links
and devices of several kinds, without anybody waiting.

    fedlearn run costs
    fedlearn run costs --vocabulary hashed:65536 --clients 50 --protection none,masks
    fedlearn run costs --network 4g,up=2Mbit --faults dropout=0.1,over_select=0.3
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from aggregator import Aggregator, Faults, RunFolder
from aggregator.costs import NETWORKS, Cost, Network, Simulated, simulate
from clients import Client, InlinePool
from fedlearn.datasets import PARTITIONS, VOCABULARIES, load_corpus
from fedlearn.datasets.bags import encode
from fedlearn.datasets.dataset import MESSAGES
from fedlearn.defaults import KEY_BITS, MIN_COHORT
from fedlearn.errors import FedlearnError
from fedlearn.models.base import Model
from fedlearn.models.kinds import Words
from fedlearn.protocol import Answer, Step, client_name
from fedlearn.secure.base import Protection
from fedlearn.seeding import stream
from scenarios.command import build, coding
from scenarios.command.options import Options
from scenarios.command.outcome import Claim, Outcome
from scenarios.command.takes import for_story
from scenarios.pictures import MARKERS, PALETTE, Painter, Picture
from scenarios.story import telling

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMPARED = "none,masks,paillier,threshold:4/5"
SIMULATED = 300  # rounds
SIZE = (13.0, 5.0)  # of the picture, in inches
QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99}

Costs = dict[str, Cost]  # by protection
Times = dict[str, dict[str, Simulated]]  # by network and protection


class TimedPool(InlinePool):
    """Runs clients one after the other and measures what they take in a round: `spent`, as of `clocks`."""

    def __init__(self, clients: list[Client]):
        super().__init__(clients)
        self._round = 0
        self.spent = np.zeros(2)

    def exchange(self, step: Step, broadcast: bytes, inboxes: Mapping[int, bytes]) -> Iterator[Answer]:
        if step.round != self._round:
            self._round, self.spent = step.round, np.zeros(2)
        began = clocks()
        for answer in super().exchange(step, broadcast, inboxes):
            self.spent += clocks() - began
            yield answer
            began = clocks()
        self.spent += clocks() - began


def clocks() -> np.ndarray:
    """Seconds on the wall, and of this process's processor time, which others on the machine do not lengthen."""
    return np.array([time.perf_counter(), time.process_time()])


@dataclass(frozen=True)
class Federation:
    """The training under each protection: the same clients, the same model."""

    options: Options
    clients: list[Client]
    model: Callable[[], Model]
    data_set: dict[str, str]

    @classmethod
    def of(cls, options: Options) -> Federation:
        corpus = load_corpus(options.data)
        words = VOCABULARIES.parse(options.vocabulary)
        partition, rng = PARTITIONS.parse(options.partition), stream(options.seed, "partition")
        parts = partition.split(corpus.labels, corpus.users, options.clients, rng)
        mails = encode(corpus, words)
        build.model_class(options, TAKES.reads)  # refused before anything is trained
        return cls(
            options,
            [Client(client_name(number), mails.take(part)) for number, part in enumerate(parts)],
            lambda: build.model(options, Words(len(words))),
            {"name": corpus.name, "sha256": corpus.sha256},
        )

    def measure(self, protection: Protection, folder: RunFolder) -> tuple[Cost, str]:
        """The cost of the last round under a protection, and the hash of the model that comes out."""
        pool = TimedPool(self.clients)
        options = self.options
        aggregator = Aggregator(
            self.model(), build.strategy(options), protection, cohort=options.cohort, seed=options.seed, folder=folder,
            compression=coding.compression(options),
        )  # fmt: skip
        history = aggregator.fit(pool, options.rounds, progress=False)
        record = history.rounds[-1]
        if record.void:
            raise FedlearnError(f"the round under {protection.name} is void: {record.void}")
        passed, computed = pool.spent
        cost = Cost(
            phases=len(protection.phases),
            up=record.bytes_up / record.clients_ok,
            down=record.bytes_down / record.clients_ok,
            openers=record.bytes_openers,
            client=computed / record.clients_ok,
            adding=max(0.0, sum(record.seconds[phase] for phase in protection.phases) - passed),
            opening=record.seconds["open"],
        )
        return cost, history.model_sha256


TAKES = for_story(
    reads=(Words,), task=MESSAGES, data="sample", model="spam", dim=1, vocabulary="hashed:2048", clients=20,
    cohort=None, rounds=2, partition="iid", protection=COMPARED, key_bits=KEY_BITS, insecure_test_key=False,
    min_cohort=MIN_COHORT, codec="", strategy="fedavg", epochs=1, batch_size=8, lr=2.0, faults="none", network=None,
)  # fmt: skip


def run(options: Options) -> Outcome:
    options = TAKES.fill(options)
    networks = networks_of(options.network)
    faults = build.faults(options) or Faults()
    federation = Federation.of(options)
    cohort = options.cohort or len(federation.clients)
    specs = options.protection.split(",")
    build.check_effects(options, *specs)
    each = {spec: build.under(options, spec) for spec in specs}
    protections = {spec: build.protection(its, cohort) for spec, its in each.items()}
    costs: Costs = {}
    models = set()
    with telling("costs", options, federation.data_set) as story:
        for spec, protection in story.steps([*protections.items()], "measuring"):
            configuration = build.configuration(each[spec], "costs")
            folder = RunFolder(story.path / name_of(spec), configuration, federation.data_set, record=True)
            costs[spec], model = federation.measure(protection, folder)
            models.add(model)
        times: Times = {}
        for name, network in networks.items():
            over = partial(simulate, network=network, faults=faults, cohort=cohort, rounds=SIMULATED, seed=options.seed)
            times[name] = {spec: over(cost) for spec, cost in costs.items()}
        tables = [*table_of_costs(costs), "", *table_of_times(times), ""]
        picture = Picture(bars(costs, times), headline(costs), CAPTION, SIZE)
        lines = [*tables, story.picture("costs", picture), conclusion(costs, times, networks)]
        claims = [*claims_of(costs, times), Claim("different_models", len(models))]
        return story.end("\n".join(lines), claims, listed=False)


def networks_of(spec: str | None) -> dict[str, Network]:
    """The one that the user names, or all that have a name."""
    if spec is None:
        return {name: Network.parse(name) for name in NETWORKS.entries}
    return {spec if spec in NETWORKS.entries else "given": Network.parse(spec)}


def name_of(spec: str) -> str:
    """A protection's name in claims and folders: threshold:4/5 is threshold_4_of_5."""
    return spec.replace(":", "_").replace("/", "_of_")


def table_of_costs(costs: Costs) -> list[str]:
    rows = [
        f"{spec:<16}{cost.up / 1e3:>10,.1f}{cost.down / 1e3:>10,.1f}{cost.openers / 1e3:>12,.1f}"
        f"{cost.client:>10.3f}{cost.adding:>10.3f}{cost.opening:>10.3f}"
        for spec, cost in costs.items()
    ]
    heads = f"{'up kB':>10}{'down kB':>10}{'openers kB':>12}{'client s':>10}{'adding s':>10}{'opening s':>10}"
    return ["measured in a round: what one client sends and gets; what passes between the aggregator and all openers",
            "(key holder or trustees) together; what one client computes; what adding up and opening the sum take",
            f"{'':<16}{heads}", *rows]  # fmt: skip


def table_of_times(times: Times) -> list[str]:
    heads = "".join(f"{name:>10}" for name in (*QUANTILES, *QUANTILES, "counted"))
    lines = [f"{'simulated: s':<38}{'a client':>20}{'a round':>30}", f"{'':<28}{heads}"]
    for network, row in times.items():
        for spec, simulated in row.items():
            cells = [*quantiles(simulated.client_seconds).values(), *quantiles(simulated.round_seconds).values()]
            figures = "".join(f"{seconds:>10.3g}" for seconds in cells)
            lines.append(f"{network:<12}{spec:<16}{figures}{simulated.counted:>10.1f}")
    return lines


def quantiles(seconds: np.ndarray) -> dict[str, float]:
    return {name: float(np.quantile(seconds, q)) for name, q in QUANTILES.items()}


def claims_of(costs: Costs, times: Times) -> list[Claim]:
    claims = []
    for spec, cost in costs.items():
        claims += [
            Claim(f"bytes_up_{name_of(spec)}", cost.up, "B"),
            Claim(f"bytes_down_{name_of(spec)}", cost.down, "B"),
            Claim(f"bytes_openers_{name_of(spec)}", cost.openers, "B"),
            Claim(f"client_seconds_{name_of(spec)}", cost.client, "s"),
            Claim(f"adding_seconds_{name_of(spec)}", cost.adding, "s"),
            Claim(f"opening_seconds_{name_of(spec)}", cost.opening, "s"),
        ]
    for network, row in times.items():
        for spec, simulated in row.items():
            for name, seconds in quantiles(simulated.round_seconds).items():
                claims.append(Claim(f"round_{name}_{network}_{name_of(spec)}", seconds, "s"))
    return claims


def conclusion(costs: Costs, times: Times, networks: dict[str, Network]) -> str:
    """What a round takes under each protection, in one sentence, on the slowest of the links."""
    network = min(networks, key=lambda name: networks[name].up)
    typical = {spec: quantiles(simulated.round_seconds)["median"] for spec, simulated in times[network].items()}
    base, *others = sorted(costs, key=lambda spec: (spec != "none", typical[spec]))
    if not others:
        return f"Over {network} links, a round under {base} takes {typical[base]:.2g} s."
    ratios = ", ".join(f"{typical[spec] / typical[base]:.1f} times under {spec}" for spec in others)
    sentence = f"Over {network} links, a round takes, against {base}, {ratios}"
    dearest = others[-1]
    if typical[dearest] <= typical[base]:
        return f"{sentence}: none is dear here."
    extra = extra_seconds(costs[dearest], costs[base], networks[network], typical[dearest] - typical[base])
    most, *rest = sorted(extra, key=extra.__getitem__, reverse=True)
    parts = ", ".join(f"{name} {extra[name]:.2g} s" for name in (most, *rest))
    return f"{sentence}: what makes {dearest} dear is {most}, not {' or '.join(rest)} ({parts})."


def extra_seconds(cost: Cost, base: Cost, network: Network, longer: float) -> dict[str, float]:
    """The seconds that a round takes beyond one under `base`, by what they are spent on; longer: their sum."""
    latency = 2 * (cost.phases - base.phases) * network.latency
    travel = 8 * ((cost.up - base.up) / network.up + (cost.down - base.down) / network.down)
    return {"latency": latency, "bytes": travel, "computing": max(0.0, longer - latency - travel)}


CAPTION = (
    "Left and middle: measured, of one client in a round. Right: the median of simulated rounds over each kind of "
    "link; its whisker ends where 99 of 100 rounds are over."
)


def bars(costs: Costs, times: Times) -> Painter:
    """By protection: bytes of a client, seconds that it computes, and the time of a round by network, p99 above it."""

    def paint(figure: Figure) -> None:
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.4))
        places = np.arange(len(costs))
        for shift, name, colour, hatch in ((-0.2, "up", PALETTE[0], ""), (0.2, "down", PALETTE[5], "//")):
            heights = [getattr(cost, name) / 1e3 for cost in costs.values()]
            left.bar(places + shift, heights, 0.4, label=name, color=colour, hatch=hatch, edgecolor="white")
        left.set(ylabel="kB of a client in a round", title="bytes")
        middle.bar(places, [cost.client for cost in costs.values()], 0.5, color=PALETTE[1])
        middle.set(ylabel="seconds of a client in a round", title="computing, measured here")
        for number, (network, row) in enumerate(times.items()):
            found = [quantiles(simulated.round_seconds) for simulated in row.values()]
            typical = [values["median"] for values in found]
            above = [values["p99"] - values["median"] for values in found]
            shift = (number - (len(times) - 1) / 2) * 0.2
            right.errorbar(
                places + shift, typical, yerr=[np.zeros(len(above)), above], label=network, linestyle="",
                marker=MARKERS[number % len(MARKERS)], capsize=3,
            )  # fmt: skip
        right.set(ylabel="seconds of a round, simulated", yscale="log", title="a round")
        for axes in (left, middle, right):
            axes.set_xticks(places, list(costs), rotation=20)
            axes.grid(axis="y")
            axes.margins(y=0.1)
        left.legend()
        right.legend()

    return paint


def headline(costs: Costs) -> str:
    """The point of the picture, in a line."""
    base = next(iter(costs))
    dearest = max(costs, key=lambda spec: costs[spec].up)
    if costs[dearest].up <= costs[base].up:
        return f"What a round costs under {base}"
    ratio = costs[dearest].up / costs[base].up
    return f"A client sends up to {ratio:.1f} times the bytes of {base} (under {dearest})"


if __name__ == "__main__":
    from scenarios.command.main import run_module

    run_module("costs")
