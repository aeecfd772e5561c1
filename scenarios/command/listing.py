"""`fedlearn list [KIND]`: everything that has a name, a line each."""

from __future__ import annotations

from collections.abc import Iterator

from fedlearn.errors import BadInput
from fedlearn.registry import Registry
from fedlearn.spec import did_you_mean


def registries() -> dict[str, Registry]:
    """All of them, by kind."""
    from aggregator.named import NETWORKS, SAMPLERS, SCHEDULES
    from aggregator.robust import RULES
    from clients import POOLS
    from clients.behaviours import BEHAVIOURS
    from fedlearn.attacks import ATTACKS
    from fedlearn.datasets import DATASETS, PARTITIONS, VOCABULARIES
    from fedlearn.exchange import EXPORTS
    from fedlearn.models import MODELS
    from fedlearn.privacy import ACCOUNTANTS
    from fedlearn.queries import QUERIES
    from fedlearn.secure import PROTECTIONS
    from fedlearn.strategies import STRATEGIES
    from scenarios import BENCHMARKS, SCENARIOS

    learning = (SCENARIOS, BENCHMARKS, MODELS, DATASETS, VOCABULARIES, PARTITIONS, STRATEGIES, PROTECTIONS, POOLS)
    rest = (QUERIES, SAMPLERS, SCHEDULES, RULES, NETWORKS, BEHAVIOURS, ATTACKS, ACCOUNTANTS, EXPORTS)
    return {registry.kind: registry for registry in (*learning, *rest)}


def lines(kind: str | None) -> Iterator[tuple[str, bool]]:
    """The lines of the list, and which of them are headings. Raises `BadInput` for an unknown kind.

    Of models it says which scenarios take them, of scenarios, where only one of the two is asked for, which models
    they take.
    """
    known = registries()
    for registry in known.values() if kind is None else [known[_kind(kind, known)]]:
        more = " (fedlearn list model says where each can be used)" if kind is None and registry.kind == "model" else ""
        yield registry.kind + more, True
        width = max(19, *map(len, registry.entries))
        for name, entry in registry.entries.items():
            yield f"  {name:<{width}} {entry.summary}", False
            if kind is not None:
                yield from ((f"  {'':<{width}} {more}", False) for more in _more(registry.kind, name))


def _kind(text: str, known: dict[str, Registry]) -> str:
    """A kind by its name or its plural."""
    plurals = {f"{name[:-1]}ies" if name.endswith("y") else f"{name}s": name for name in known}
    names = {name: name for name in known} | plurals
    asked = text.lower().replace("-", " ").replace("_", " ")
    if asked not in names:
        raise BadInput(f"there is nothing of the kind {text!r}{did_you_mean(asked, names)}: choose {', '.join(known)}")
    return names[asked]


def _more(kind: str, name: str) -> list[str]:
    from fedlearn.models import MODELS
    from scenarios import SCENARIOS
    from scenarios.command.help import scenario_module

    if kind == "scenario":
        takes = scenario_module(name).TAKES
        models = [each for each in MODELS.entries if MODELS.load(each).reads in takes.reads]
        return [f"models: {', '.join(models)}"] if models and "model" in takes.defaults else []
    if kind == "model":
        reads = MODELS.load(name).reads
        taking = [
            each for each in SCENARIOS.entries
            if reads in (takes := scenario_module(each).TAKES).reads and "model" in takes.defaults
        ]  # fmt: skip
        where = f"scenarios {', '.join(taking)}" if taking else "no scenario's option --model; built in Python"
        return [f"reads {reads.about if reads else 'samples of its own'}; {where}"]
    return []
