"""Every scenario takes the options that it can use, and refuses every other: none is ignored in silence."""

from __future__ import annotations

import pytest

from fedlearn.errors import BadInput
from scenarios import SCENARIOS
from scenarios.command.about import flag
from scenarios.command.options import ABOUT, TYPES, Options
from scenarios.command.texts import read_options

ALWAYS = {"seed", "out"}
TRAINING = {"epochs", "batch_size", "lr"}
KEY = {"key_bits", "insecure_test_key"}
FEDERATION = ALWAYS | TRAINING | KEY | {
    "data", "model", "clients", "cohort", "sampler", "partition", "malicious", "rounds", "strategy", "protection",
    "min_cohort", "max_overlap", "robust", "group_size", "codec", "sparsify", "faults", "pool", "workers",
    "ray_address", "stack",
    "transcript", "record", "resume", "portable", "strict_bits", "from_", "keys", "passphrase_file", "deadline", "pki",
    "dp", "dp_seed", "server_lr_schedule", "evaluate_every", "evaluate", "watch",
    "stop_after",
}  # fmt: skip
READING = {
    "text_column",
    "label_column",
    "user_column",
    "spam_label",
    "labels",
    "encoding",
    "skip_bad",
    "test_fraction",
    "test_data",
}
NUMBERS = READING - {"text_column", "spam_label"}
TEXT = {"data", "dim"} | TRAINING
TAKEN = {
    "spam": FEDERATION | READING | {"dim", "vocabulary", "kernels"},
    "digits": FEDERATION | NUMBERS | {"dim", "examples_per_client", "kernels"},
    "shakespeare": FEDERATION | {"encoding", "test_fraction", "dim", "kernels"},
    "costs": TEXT | KEY | {
        "model", "vocabulary", "clients", "cohort", "partition", "rounds", "strategy", "protection", "min_cohort",
        "codec", "faults", "network",
    },
    "count_spam": {"data", "clients", "partition", "vocabulary", "rounds", "protection", "pki", "min_cohort", "codec"}
    | {"dp", "dp_seed", "pool", "workers", "deadline", "ray_address", "transcript", "record", "keys", "passphrase_file"}
    | TRAINING | KEY | READING,
    "dp_price": {"data", "rounds"} | TRAINING | KEY,
    "dp_audit": {"clients", "cohort", "rounds", "dp"},
    "leak_embedding": TEXT | KEY | {"model", "strategy", "min_cohort", "max_overlap", "codec", "dp"},
    "leak_words": {"data", "dim"},
    "leak_unmix": TEXT | {"dp"},
    "leak_sum": TEXT | KEY | {"dp"},
    "leak_sender": TEXT | {"clients", "dp"},
    "leak_membership": TEXT | {"dp"},
    "leak_lstm": {"data", "lr"},
    "leak_local_steps": {"data", "lr"},
    "leak_matching": {"data", "lr"},
    "leak_digits": {"data", "lr", "dp"},
    "leak_myths": TEXT,
    "leak_counts": {"data"},
    "leak_differencing": TEXT | KEY,
    "poison_backdoor": {"data", "rounds"} | TRAINING | KEY,
    "robust_rules": {"rounds"} | TRAINING,
    "robust_vs_secret": {"data", "rounds"} | TRAINING | KEY,
    "book_autograd": TRAINING,
    "book_gradient_check": set(),
    "book_spirals": {"dim"} | TRAINING,
    "book_digits": {"dim"} | TRAINING,
    "book_words": TEXT,
    "book_shakespeare": TEXT,
    "book_sentiment": TEXT,
}  # fmt: skip
GIVEN = {
    "data": "sample", "model": "spam", "dim": 3, "vocabulary": "hashed:64", "clients": 4, "examples_per_client": 5,
    "cohort": 3, "sampler": "poisson", "rounds": 2, "epochs": 2, "batch_size": 3, "lr": 0.3, "partition": "iid",
    "malicious": "sign-flip:1", "protection": "paillier", "key_bits": 4096, "insecure_test_key": True,
    "min_cohort": 2, "max_overlap": 1, "robust": "nnm+trimmed", "group_size": 2,
    "codec": "bits=20", "sparsify": 0.5, "strategy": "scaffold", "faults": "dropout=0.1",
    "network": "home", "pool": "processes", "workers": 3, "ray_address": "localhost:1", "stack": "off",
    "text_column": "a", "label_column": "b", "user_column": "c", "spam_label": "d", "labels": "e,f",
    "encoding": "utf-8", "skip_bad": True, "test_fraction": 0.5, "test_data": "sample",
    "from_": "nowhere", "keys": "nowhere", "passphrase_file": "nowhere", "deadline": 5.0, "pki": "nowhere",
    "kernels": "measure", "portable": True, "strict_bits": True, "dp": "noise=1,clip=1", "dp_seed": 1,
    "transcript": "digest", "seed": 1, "record": True, "out": None, "resume": True,
    "server_lr_schedule": "cosine", "evaluate_every": 2, "evaluate": "each", "watch": "f1", "stop_after": 3,
}  # fmt: skip


def test_the_tables_are_complete():
    assert set(TAKEN) == set(SCENARIOS.entries)
    assert set(GIVEN) == set(ABOUT)


@pytest.mark.parametrize("scenario", TAKEN)
def test_what_a_scenario_cannot_use_is_refused_and_nothing_else(scenario, tmp_path):
    (tmp_path / "kept").touch()  # a folder that is in use ends a run before there is any work
    run, taken = SCENARIOS.load(scenario), TAKEN[scenario] | ALWAYS
    for name in GIVEN.keys() - taken:
        with pytest.raises(BadInput, match=f"^{flag(name)} .*has no effect in this scenario"):
            run(Options(**{"out": tmp_path, name: GIVEN[name]}))
    with pytest.raises(BadInput) as refused:
        run(Options(**{name: GIVEN[name] for name in taken} | {"out": tmp_path}))
    assert "in this scenario" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("name", ABOUT)
def test_an_empty_option_is_none_that_was_given(name):
    """As the protection of a variable of the shell that is not set: it would be none."""
    with pytest.raises(BadInput, match=rf"^{flag(name)} is "):
        read_options({name: ""})
    if TYPES[name] is str and name != "codec":  # whose default it is
        with pytest.raises(BadInput, match=f"^{flag(name)} is empty"):
            Options(**{name: ""})
