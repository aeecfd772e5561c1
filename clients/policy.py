"""The rules of clients about the plans they take part in: one that asks for less is refused before anything is trained.

The aggregator writes the plan. So clients check it against itself (its keys are as the protection says that it names,
nobody adds up updates in the clear unless it names none), and against what their owner demands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedlearn.configured import real_number, whole_number
from fedlearn.errors import BadInput, ProtocolError
from fedlearn.privacy.terms import Terms
from fedlearn.protocol import RunPlan
from fedlearn.secure.base import Protection
from fedlearn.secure.pki import Pki
from fedlearn.wording import many


@dataclass(frozen=True)
class Policy:
    """The demands that the owner of some clients makes of a plan; None demands nothing.

    protections      names of those that they take part in, as in ("paillier", "threshold")
    least_key_bits   of the key that updates are encrypted under, where the protection has one
    least_cohort     the fewest updates in a sum that is opened (the protection's `min_cohort`)
    least_threshold  how many trustees it takes at least to open a sum, where the protection has trustees
    least_noise      of the sums, divided by the clip (`fedlearn.privacy.Privacy.noise`): plans without noise, or with
                     noise that anybody can compute, are refused then
    pki              the clients' signing keys, agreed outside of the aggregator: with these they enrol, and the plan's
                     roster may have no others; protections under which clients have no signing keys are refused then
    fingerprint      of the key that updates are encrypted under, in hex, as `fedlearn keys show` has it: protections
                     without such a key are refused then

    Raises `BadInput` for values that no plan can be measured by.
    """

    protections: Sequence[str] | None = None
    least_key_bits: int | None = None
    least_cohort: int | None = None
    least_threshold: int | None = None
    fingerprint: str | None = None
    pki: Pki | None = None
    least_noise: float | None = None

    def __post_init__(self) -> None:
        if self.pki is not None and not isinstance(self.pki, Pki):
            raise BadInput(f"pki is {self.pki!r:.80}: give Pki(folder) of fedlearn.secure")
        if isinstance(self.protections, str):
            raise BadInput(f"protections is {self.protections!r}: give a list of names, as ('paillier', 'threshold')")
        for name in LEAST:
            if getattr(self, name) is not None:
                whole_number(name, getattr(self, name), 1)
        if self.least_noise is not None:
            real_number("least_noise", self.least_noise, above=0, usual="1 is usual")

    def check(self, plan: RunPlan, protection: Protection) -> None:
        """Raise `ProtocolError` naming what a plan asks for that these clients do not do.

        protection: the plan's own, rebuilt.
        """
        if plan.kernels["fold"] and not protection.fold_in_worker:
            raise ProtocolError(
                f"the plan has workers add up updates in the clear under protection {protection.name}: "
                "clients do so under none only"
            )
        if self.protections is not None and protection.name not in self.protections:
            raise ProtocolError(
                f"the plan names protection {protection.name}, these clients take part in {', '.join(self.protections)}"
            )
        for name, of_protection in LEAST.items():
            least, planned = getattr(self, name), getattr(protection, of_protection, None)
            if least is not None and planned is not None and planned < least:
                raise ProtocolError(f"the plan says {of_protection}={planned}, these clients demand {least} or more")
        self._check_noise(plan, protection)
        self._check_roster(plan, protection)
        protection.check_keys(plan)
        if self.fingerprint is not None and protection.fingerprint(plan) != self.fingerprint.lower():
            raise ProtocolError(
                f"the plan's key is {protection.fingerprint(plan) or 'none'}, these clients encrypt under "
                f"{self.fingerprint} only: whose is it?"
            )

    def _check_noise(self, plan: RunPlan, protection: Protection) -> None:
        terms = Terms.read(plan.privacy)
        if terms is not None and terms.min_cohort > protection.min_cohort and not protection.fold_in_worker:
            raise ProtocolError(
                f"the plan counts on the noise of {many(terms.min_cohort, 'client')}, and its protection opens sums of "
                f"{protection.min_cohort}: such sums would have too little"
            )
        if self.least_noise is None:
            return
        if terms is None or terms.promised < self.least_noise:
            planned = "none" if terms is None else f"noise={terms.promised:g}"
            raise ProtocolError(f"the plan says of noise: {planned}, these clients demand {self.least_noise:g} or more")
        if terms.unit != "client":
            raise ProtocolError(
                "the plan's noise protects single examples: these clients demand noise for all that they hold"
            )
        if terms.seed is not None:
            raise ProtocolError(
                "the plan's noise follows from a seed, so that anybody can take it off: these clients refuse"
            )

    def _check_roster(self, plan: RunPlan, protection: Protection) -> None:
        if self.pki is None:
            return
        if not protection.has_roster:
            raise ProtocolError(
                f"the plan names protection {protection.name}, where clients do not sign: "
                "these take part as who they are"
            )
        self.pki.check(plan.roster)


LEAST = {"least_key_bits": "key_bits", "least_cohort": "min_cohort", "least_threshold": "threshold"}
