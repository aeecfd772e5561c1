"""Make what a user gives an `Aggregator` into what it works with; refuse the rest, with what was expected."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, cast

from aggregator.faults import Faults
from aggregator.history import Tracker
from aggregator.robust.base import Rule
from aggregator.robust.chain import as_rule
from aggregator.runfolder import RunFolder
from aggregator.sampling import SAMPLERS
from fedlearn.configured import plain_value, whole_number
from fedlearn.crypto import FixedPoint
from fedlearn.crypto.codec import Overflow
from fedlearn.datasets.vocabulary import Vocabulary
from fedlearn.disk import at_home
from fedlearn.errors import BadInput
from fedlearn.models.base import Model
from fedlearn.nn import Module
from fedlearn.privacy.asked import Privacy
from fedlearn.protocol import Pool
from fedlearn.queries import QUERIES
from fedlearn.queries.base import Query
from fedlearn.registry import find
from fedlearn.sampling import Sampler, Uniform
from fedlearn.secure import PROTECTIONS, Paillier
from fedlearn.secure.base import DEFAULT_CODEC, Protection, Settings
from fedlearn.secure.compression import NO_COMPRESSION, Compression
from fedlearn.secure.pki import Pki
from fedlearn.spec import construct
from fedlearn.strategies import STRATEGIES, FedAvg
from fedlearn.strategies.base import Strategy

log = logging.getLogger(__name__)
LARGEST_SEED = 2**64 - 1
MOST_ROUNDS = 2**32 - 1  # a message's header holds the number of its round
AS_POOL = "clients.inline:as_pool"  # by name, since this side of the wire knows no client


def as_model(given: Any) -> Model:
    """The model of a run; raises `BadInput` for what is none, or has no loss."""
    if isinstance(given, Module) and not isinstance(given, Model):
        raise BadInput(
            f"model is a {type(given).__name__}, which has no loss: "
            "derive it from fedlearn.models.base.Model and define loss(batch)"
        )
    if not isinstance(given, Model):
        raise _refused("model", given, "a model, as fedlearn.models.SpamClassifier(1000)")
    return given


def as_strategy(given: Any) -> Strategy:
    """The strategy of a run. given: one, its name as on the command line (`fedprox:mu=0.1`), or None for FedAvg."""
    if given is None:
        return FedAvg()
    if isinstance(given, str):
        return cast(Strategy, STRATEGIES.parse(given))
    if not isinstance(given, Strategy):
        raise _refused("strategy", given, "a strategy, as FedAvg(lr=0.1), or its name, as 'fedprox:mu=0.1'")
    return given


def as_query(given: Any) -> Query:
    """The query to ask. given: one, or its name as on the command line (`histogram:low=0,high=100`)."""
    if isinstance(given, str):
        return cast(Query, QUERIES.parse(given))
    if not isinstance(given, Query):
        raise _refused("query", given, "a query, as ClassCounts(classes=2), or its name, as 'classes:2'")
    return given


def as_protection(
    given: Any, addends: int = DEFAULT_CODEC.addends, codec: FixedPoint | None = None, clips: bool = False
) -> Protection:
    """The protection of a run. given: one, its name as on the command line (`threshold:2/3`), or None for Paillier.

    Where the codec is not given with it: addends, clients whose updates it must hold; clips: whether it clips; or the
    codec itself.
    """
    overflow: Overflow = "clip" if clips else "refuse"
    codec = codec or replace(DEFAULT_CODEC, addends=max(addends, DEFAULT_CODEC.addends), overflow=overflow)
    if given is None:
        return Paillier(codec=codec)
    if isinstance(given, str):
        return cast(Protection, PROTECTIONS.parse(given, Settings(codec)))
    if not isinstance(given, Protection):
        raise _refused("protection", given, "a protection, as Plain() or Paillier(), or its name, as 'masks:20'")
    return given


def as_compression(given: Any) -> Compression:
    """The compression of a run. given: one, or the same as text (`auto=true,share=0.1`), or None for none."""
    if given is None:
        return NO_COMPRESSION
    if isinstance(given, str):
        return cast(Compression, construct(Compression, given, "compression"))
    if not isinstance(given, Compression):
        raise _refused("compression", given, "Compression(auto=True), or the same as text, 'auto=true'")
    return given


def as_pki(given: Any, protection: Protection) -> Pki | None:
    """The clients' keys of a run. given: these, their folder, or None for those that clients bring."""
    if given is None:
        return None
    if not isinstance(given, Pki | str | PathLike):
        raise _refused("pki", given, "Pki(folder), or the path of a folder that fedlearn keys pki made")
    if not protection.has_roster:
        raise BadInput(
            f"pki has no effect under protection {protection.name}, where clients sign nothing: leave it out"
        )
    pki = given if isinstance(given, Pki) else Pki(at_home(given))
    pki.check_folder()
    return pki


def as_sampler(given: Any) -> Sampler:
    """The sampler of a run. given: one, its name as on the command line (`poisson`), or None for Uniform."""
    if given is None:
        return Uniform()
    if isinstance(given, str):
        return cast(Sampler, SAMPLERS.parse(given, _unknown))
    if not isinstance(given, Sampler):
        raise _refused("sampler", given, "a sampler, as Poisson(), or its name, as 'poisson'")
    return given


def _unknown() -> Sequence[float]:
    raise BadInput(
        "sampler weighted needs the clients' numbers of examples, which no pool says: "
        "give Weighted(numbers), or weighted:FILE"
    )


def as_faults(given: Any) -> Faults | None:
    """The faults of a run. given: these, the same as on the command line (`dropout=0.1`), or None for nobody's."""
    if given is None or isinstance(given, Faults):
        return given
    if isinstance(given, str):
        return Faults.parse(given)
    raise _refused("faults", given, "Faults(dropout=0.1), or text, as 'dropout=0.1'")


def as_vocabulary(given: Any) -> dict[str, Any]:
    """A vocabulary as plain values. given: one, such values, or None for models that read no words."""
    if isinstance(given, Vocabulary):
        return given.to_dict()
    if not isinstance(given, Mapping | None):
        raise _refused("vocabulary", given, "a vocabulary, as HashedVocabulary(2**14), or its to_dict()")
    return dict(given or {})


def as_privacy(given: Any, vocabulary: Mapping[str, Any] | None = None) -> Privacy | None:
    """The privacy of a run.

    given: this, the same as on the command line (`epsilon=3,clip=0.3`), or None for no noise.
    """
    if given is None:
        return None
    if vocabulary and vocabulary.keys() & {"words", "characters"}:
        log.warning("the list of words must be public: one made from clients' data tells of them, noise or not")
    if isinstance(given, Privacy):
        return given
    if isinstance(given, str):
        return Privacy.parse(given)
    raise _refused("privacy", given, "Privacy(epsilon=3, clip=0.3), or text, as 'epsilon=3,clip=0.3'")


def as_robust(given: Any, group_size: Any) -> Rule | None:
    """The robust rule of a run.

    given: one, its name as on the command line (`nnm+trimmed:f=2`), or None for the mean.
    """
    if given is None:
        if group_size is not None:
            raise BadInput(f"group_size={group_size!r:.80} has no effect without a rule: give robust='nnm+trimmed'")
        return None
    return as_rule(given)


def as_rounds(rounds: Any, folder: RunFolder | None) -> int:
    """How many rounds a run has; raises `BadInput` for fewer than the folder's run has done already."""
    count = whole_number("rounds", rounds, 1, MOST_ROUNDS)
    if folder is not None and (done := folder.rounds_done) > count:
        raise BadInput(f"rounds={count}, and the run in {folder.path} has done {done}: give {done} or more")
    return count


def as_folder(given: Any, configuration: dict[str, Any], resume: bool = False) -> RunFolder | None:
    """The folder of a run. given: one, the path of a new one, or None to keep nothing.

    resume: the path is of one to go on with.
    """
    resume = plain_value("resume", resume, bool)
    if resume and not isinstance(given, str | PathLike):
        raise BadInput(f"resume=True goes with the path of a folder, and folder is {given!r:.60}: give the path there")
    if given is None or isinstance(given, RunFolder):
        return given
    if isinstance(given, str | PathLike):
        return RunFolder(at_home(given), configuration, {}, resume=resume)
    raise _refused("folder", given, "a RunFolder, or the path of a new folder")


def as_pool(given: Any) -> Pool:
    """The pool of a run.

    given: one, or the clients themselves, which then run in this process (`clients.InlinePool`).
    """
    if not isinstance(given, type) and all(hasattr(given, name) for name in ("open", "enrol", "start", "exchange")):
        return cast(Pool, given)
    return cast(Pool, find(AS_POOL)(given))


def as_trackers(given: Any) -> list[Tracker]:
    """The trackers of a run. given: these, each with `begin`, `round` and `end`."""
    several = isinstance(given, Sequence) and not isinstance(given, str)
    for each in given if several else [given]:
        if not several or isinstance(each, type) or not isinstance(each, Tracker):
            raise _refused("a tracker", each, "a list of trackers, as [CsvTracker('rounds.csv')]")
    return list(given)


def _refused(name: str, given: Any, expected: str) -> BadInput:
    instance = f": make one of it, {given.__name__}(...)" if isinstance(given, type) else ""
    return BadInput(f"{name} is {given!r:.80}{instance}; give {expected}")
