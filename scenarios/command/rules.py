"""The robust rule of a run, and the public examples that it trusts."""

from __future__ import annotations

import logging

from aggregator.robust.base import Rule
from aggregator.robust.chain import as_rule
from fedlearn.datasets.examples import Examples
from fedlearn.errors import BadInput
from fedlearn.logs import TOLD
from fedlearn.wording import many
from scenarios.command.options import Options

log = logging.getLogger(__name__)
TRUSTED = 100  # public examples, as in Cao et al. 2021


def rule_of(options: Options, trusted: Examples | None = None) -> Rule | None:
    """The rule that --robust names; trusted: public examples, if any. Raises `BadInput` for --group-size without it."""
    if options.robust is None and options.group_size is not None:
        raise BadInput(f"--group-size {options.group_size} has no effect without --robust: leave it out")
    named = None if options.robust is None else as_rule(options.robust)
    return named.trusting(trusted) if named is not None and trusted else named


def trusted_of(options: Options, public: int) -> int:
    """The number of public examples, of so many, that the rule of --robust trains on; the others measure."""
    named = rule_of(options)
    if named is None or not named.trusts or named.data is not None:
        return 0
    taken = min(TRUSTED, public // 2)
    examples = many(public, "public example")
    log.log(TOLD, "%s trains on %d of %s, the others measure", named, taken, examples)
    return taken
