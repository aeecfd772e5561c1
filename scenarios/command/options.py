"""The options of a run: every option once, with its help, its default and its limits.

Nothing heavy is imported here, since `fedlearn --help` reads this file. `scenarios.command.build` makes the parts of a
run from these options, `scenarios.command.takes` says which of them a scenario takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from fedlearn.defaults import KEY_BITS, MIN_COHORT
from fedlearn.errors import BadInput
from scenarios.command.about import LEARN, PROTECT, READ, RUN, WHO, About, flag

COLUMN = "NAME|NUMBER"
MOST_SEED, MOST_CLIENTS, MOST_DIM, MOST_KEY_BITS, MOST_WORKERS = 2**63 - 1, 10**7, 2**16, 2**14, 1024
# These change where and how a run is computed or shown, and no number in it.
NOT_CONFIGURATION = (
    "out", "resume", "pool", "workers", "deadline", "ray_address", "record", "stack", "transcript",
    "keys", "passphrase_file", "pki", "strict_bits",
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """The options of `fedlearn run`.

    Those that may be Any are None until a scenario has `filled` them: each scenario has a default of its own.
    """

    data: Annotated[
        str | Any,
        About(
            "Data set by name, files of your own, - for standard input, or a data set that your Python file makes.",
            WHO,
            "NAME|FILE|FOLDER|-|FILE.py:NAME",
        ),
    ] = None
    clients: Annotated[int | Any, About("Number of clients.", WHO, "N", least=1, most=MOST_CLIENTS)] = None
    examples_per_client: Annotated[
        int | Any,
        About("Examples drawn for each client.", WHO, "N", least=1, most=MOST_CLIENTS),
    ] = None
    cohort: Annotated[int | None, About("Clients sampled in each round.", WHO, "N", least=1, most=MOST_CLIENTS)] = None
    sampler: Annotated[
        str,
        About(
            "Which clients are sampled.",
            WHO,
            "uniform|poisson|weighted[:FILE]|availability:FILE|availability:diurnal=ROUNDS|FILE.py:CLASS",
        ),
    ] = "uniform"
    partition: Annotated[
        str | Any,
        About(
            "How the data are dealt to clients.", WHO, "iid|dirichlet:ALPHA|shards:N|natural|FILE.py:CLASS[:ARGUMENT]"
        ),
    ] = None
    malicious: Annotated[
        str | None,
        About(
            "Some clients are malicious: a number of them, or a fraction, as in sign-flip:0.2 or "
            "backdoor:3,word=pear,scale=1. `fedlearn list behaviour` names what they can do.",
            WHO,
            "BEHAVIOUR:SHARE[,KEY=VALUE...]",
        ),
    ] = None
    text_column: Annotated[str | None, About("Column of the texts; without it a guess.", READ, COLUMN)] = None
    label_column: Annotated[str | None, About("Column of the labels; without it a guess.", READ, COLUMN)] = None
    user_column: Annotated[
        str | None, About("Column, or header of mail, that says whose each message is.", READ, COLUMN)
    ] = None
    spam_label: Annotated[str | None, About("The label that means spam; all others mean ham.", READ, "VALUE")] = None
    labels: Annotated[str | None, About("All labels, of more classes than ham and spam.", READ, "A,B,C...")] = None
    encoding: Annotated[
        str | None, About("Of your files, as cp1252; without it UTF-8, or a guess that is told.", READ, "NAME")
    ] = None
    skip_bad: Annotated[bool, About("Leave out rows that cannot be read.", READ, "")] = False
    test_fraction: Annotated[
        float | Any, About("Part of the data that is held out, to measure with.", READ, "X", above=0, most=0.9)
    ] = None
    test_data: Annotated[str | None, About("Your own held-out data, instead of a part.", READ, "FILE|FOLDER")] = None
    from_: Annotated[
        str | None,
        About("Trained model to go on from, with its vocabulary and classes.", LEARN, "DIR|MODEL.safetensors"),
    ] = None
    model: Annotated[str | Any, About("Model by name, or your own.", LEARN, "NAME|FILE.py:CLASS")] = None
    dim: Annotated[
        int | Any,
        About("Width of the model: of its embedding, hidden layer or channels.", LEARN, "N", least=1, most=MOST_DIM),
    ] = None
    vocabulary: Annotated[str | Any, About("How words are numbered.", LEARN, "hashed[:BUCKETS]|explicit:FILE")] = None
    rounds: Annotated[int | Any, About("Rounds of training.", LEARN, "N", least=1, most=10**6)] = None
    epochs: Annotated[int | Any, About("Local epochs in a round.", LEARN, "N", least=1, most=10**6)] = None
    batch_size: Annotated[int | Any, About("Examples in a local batch.", LEARN, "N", least=1, most=10**9)] = None
    lr: Annotated[float | Any, About("Local learning rate.", LEARN, "X", above=0)] = None
    strategy: Annotated[
        str,
        About(
            "Federated algorithm, as in fedprox:mu=0.1. `fedlearn list strategy` names them.",
            LEARN,
            "NAME[:KEY=VALUE,...]|FILE.py:CLASS[:KEY=VALUE,...]",
        ),
    ] = "fedavg"
    server_lr_schedule: Annotated[
        str | None,
        About(
            "What part of the server's step is taken, round by round; `fedlearn list schedule` names them, with "
            "PyTorch's keys. Without it the whole step.",
            LEARN,
            "cosine|step:ROUNDS[,gamma=X]|NAME[:KEY=VALUE,...]",
        ),
    ] = None
    evaluate_every: Annotated[
        int | None,
        About("Evaluate after so many rounds, and after the last; without it after each.", LEARN, "N", least=1),
    ] = None
    evaluate: Annotated[
        str,
        About(
            "Who measures the model: test is the held-out data; clients has the clients of the round measure it too, "
            "in a sum of which nobody reads a part (with --dp it needs a clip); each has them say it one by one, under "
            "--protection none. docs/sums.md.",
            LEARN,
            "test|clients[:clip=C,most=N,bins=B,loss_step=S]|each",
        ),
    ] = "test"
    watch: Annotated[
        str | None,
        About(
            "Keep the best model by this metric too, as best.safetensors. A loss is better when it is lower, others "
            "when they are higher, unless you say so.",
            LEARN,
            "METRIC[:min|:max]",
        ),
    ] = None
    stop_after: Annotated[
        int | None,
        About("Stop after so many evaluations without a better --watch, or loss.", LEARN, "N", least=1),
    ] = None
    protection: Annotated[
        str | Any,
        About("What hides updates from the aggregator.", PROTECT, "none|paillier|threshold:T/N|masks[:K]"),
    ] = None
    key_bits: Annotated[
        int,
        About("Size of the Paillier modulus, 2048 or more.", PROTECT, "N", least=1, most=MOST_KEY_BITS),
    ] = KEY_BITS
    keys: Annotated[
        str | None,
        About("Folder of keys by `fedlearn keys generate`; without it each run has new ones.", PROTECT, "DIR"),
    ] = None
    passphrase_file: Annotated[
        str | None,
        About("Where the passphrase of --keys stands; without it FEDLEARN_PASSPHRASE, or a prompt.", PROTECT, "FILE"),
    ] = None
    pki: Annotated[
        str | None,
        About("Clients' signing keys, by `fedlearn keys pki`: no others take part.", PROTECT, "DIR"),
    ] = None
    min_cohort: Annotated[
        int,
        About("The fewest updates in a sum that is opened.", PROTECT, "N", least=1, most=MOST_CLIENTS),
    ] = MIN_COHORT
    max_overlap: Annotated[
        int | None,
        About(
            "The most clients that two opened sums may share; without it there is no limit.",
            PROTECT,
            "N",
            least=0,
            most=MOST_CLIENTS,
        ),
    ] = None
    robust: Annotated[
        str | None,
        About(
            "A rule in the place of the mean that stands f malicious clients, as nnm+trimmed:f=3; without f as many as "
            "it can. `fedlearn list robust rule` names them, docs/robust.md says when each fails.",
            PROTECT,
            "[BEFORE+]RULE[:f=F]|FILE.py:CLASS",
        ),
    ] = None
    group_size: Annotated[
        int | None,
        About(
            "Clients whose sum is opened together under --robust; without it 1 under none, else --min-cohort.",
            PROTECT,
            "N",
            least=1,
            most=MOST_CLIENTS,
        ),
    ] = None
    codec: Annotated[
        str,
        About(
            "How updates become whole numbers: their bits, the largest value (auto follows the updates), the most "
            "addends of a sum, what happens to a value beyond the bound, how they are rounded, and whether clients add "
            "what that took to their next update. What is left out is as the scenario has it; docs/sums.md.",
            PROTECT,
            "bits=B,bound=X|auto,addends=N,overflow=refuse|clip,rounding=nearest|stochastic,feedback=true,"
            "most_clipped=SHARE",
        ),
    ] = ""
    sparsify: Annotated[
        float | None,
        About(
            "Send this share of the weights a round, drawn anew in each, the same of all.", PROTECT, "SHARE", above=0
        ),
    ] = None
    dp: Annotated[
        str | None,
        About(
            "Differential privacy: clip updates, and add noise to their sum, as in epsilon=3,clip=0.3. "
            "docs/privacy.md says what an epsilon means.",
            PROTECT,
            "noise=Z|epsilon=E,clip=C[,delta=D][,where=clients|opener|aggregator][,honest=H][,adaptive=QUANTILE]"
            "[,unit=client|example]",
        ),
    ] = None
    dp_seed: Annotated[
        int | None,
        About(
            "INSECURE: noise and cohorts of --dp that anybody can compute again, for tests.",
            PROTECT,
            "N",
            least=0,
            most=MOST_SEED,
        ),
    ] = None
    insecure_test_key: Annotated[bool, About("Allow a key under 2048 bits: it protects nothing.", PROTECT, "")] = False
    faults: Annotated[
        str,
        About(
            "Simulated losses. P is a probability, S seconds, X a fraction; DIST is a number, uniform(LOW,HIGH), "
            "exponential(MEAN) or lognormal(MU,SIGMA).",
            RUN,
            "none|dropout=P,crash=P,straggle=P:DIST,time=DIST,deadline=S,over_select=X",
        ),
    ] = "none"
    network: Annotated[
        str | None,
        About(
            "Simulated links: a name, or what differs from one. RATE is as 10Mbit, TIME as 40ms, DIST as for --faults.",
            RUN,
            "NAME|[NAME,]up=RATE,down=RATE,latency=TIME,slower=DIST",
        ),
    ] = None
    pool: Annotated[str, About("Where clients are run.", RUN, "inline|processes|ray")] = "inline"
    workers: Annotated[
        int, About("Processes of the pool, unless it is inline.", RUN, "N", least=1, most=MOST_WORKERS)
    ] = 2
    deadline: Annotated[
        float | None,
        About(
            "Seconds that a silent worker, key holder or trustee is waited for; without it that follows from how long "
            "their answers take, a minute at least.",
            RUN,
            "SECONDS",
            above=0,
        ),
    ] = None
    ray_address: Annotated[
        str | None,
        About("The head of a Ray cluster; without it Ray is started here, for this run.", RUN, "HOST:PORT"),
    ] = None
    stack: Annotated[str, About("Train clients side by side; the bits are the same.", RUN, "auto|on|off")] = "auto"
    kernels: Annotated[
        str,
        About("How steps are computed; in recurrent layers others give other last bits.", RUN, "numpy|numba|measure"),
    ] = "numpy"
    transcript: Annotated[
        str,
        About("full keeps hashes of all messages, digest their sizes only.", RUN, "full|digest"),
    ] = "full"
    portable: Annotated[bool, About("The bits that every x86-64 processor with AVX2 gives.", RUN, "")] = False
    strict_bits: Annotated[
        bool, About("With --resume: refuse to go on where this machine may compute other bits.", RUN, "")
    ] = False
    seed: Annotated[
        int,
        About("Of every choice that can be repeated; keys never come from it.", RUN, "N", least=0, most=MOST_SEED),
    ] = 0
    out: Annotated[Path | None, About("Run folder; without it a new one under runs/.", RUN, "DIR")] = None
    record: Annotated[bool, About("Keep the payload of every message, for attacks.", RUN, "")] = False
    resume: Annotated[
        bool,
        About("Go on with the run in DIR, or in --out, from its last checkpoint, with its own options.", RUN, "[DIR]"),
    ] = False
    # Not options: what is told of every round, and the names of the options that a scenario has filled.
    trackers: Sequence[Any] = field(default=(), compare=False)
    defaulted: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def __post_init__(self) -> None:
        for name, about in ABOUT.items():
            value = getattr(self, name)
            if value == "" != DEFAULTS[name]:
                raise BadInput(f"{flag(name)} is empty: give a value, or leave it out")
            about.check(name, value)
        if self.resume and self.out is None:
            raise BadInput("--resume needs the folder of the run to go on with: give --resume DIR")

    def filled(self, **defaults: Any) -> Options:
        """The same options, with these defaults where nothing was said."""
        unsaid = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return replace(self, **unsaid, defaulted=self.defaulted | unsaid.keys())

    def said(self) -> Iterator[tuple[str, Any]]:
        """The options that are not at their defaults."""
        for f in fields(self):
            if f.name in ABOUT and getattr(self, f.name) != f.default:
                yield f.name, getattr(self, f.name)

    def typed(self, name: str) -> str:
        """An option with its value, as it is typed."""
        value = getattr(self, name)
        return flag(name) if value is True else f"{flag(name)} {value}"


_HINTS = {
    name: get_args(hint)  # its type and what is said about it
    for name, hint in get_type_hints(Options, include_extras=True).items()
    if get_origin(hint) is Annotated
}
ABOUT: Mapping[str, About] = {name: about for name, (_, about) in _HINTS.items()}
TYPES: Mapping[str, type] = {name: (get_args(kind) or (kind,))[0] for name, (kind, _) in _HINTS.items()}
PLACES = {name for name, about in ABOUT.items() if about.form.startswith(("DIR", "FILE"))}
DEFAULTS: Mapping[str, Any] = {f.name: f.default for f in fields(Options) if f.name in ABOUT}
