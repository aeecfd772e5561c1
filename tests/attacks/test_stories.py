"""The stories on the data that come with the program: their figures, and a plain sentence at the end."""

from __future__ import annotations

import json

import pytest

from fedlearn.errors import BadInput
from scenarios import SCENARIOS, leak_matching, leak_play
from scenarios.command.options import Options
from scenarios.command.outcome import Outcome

EXPECTED = {
    "leak_words": {f"{score}_{rule}": (1, 1) for score in ("precision", "recall")
                   for rule in ("sgd", "sgd_decay", "adam", "adam_decay")},
    "leak_unmix": {"isolated_8": (1, 1), "isolated_16": (1, 1), "precision_8": (0.99, 1), "precision_32": (0.98, 1)},
    "leak_sum": {"union_recall_1": (1, 1), "union_recall_2": (1, 1), "one_precision_2": (0.5, 0.95),
                 "union_recall_50": (1, 1), "union_precision_50": (1, 1), "union_recall_10_dp": (0, 0.1),
                 "union_recall_50_dp": (0, 0.1), "isolated_10_dp": (0, 0)},
    "leak_sender": {"ari_fine": (0.95, 1), "ari_coarse": (0.95, 1), "messages_dp": (0, 3)},
    "leak_membership": {"auc_message_1": (0.97, 1), "auc_word_1": (1, 1), "auc_message_50": (0.3, 0.7),
                        "auc_word_10_dp": (0.4, 0.6), "auc_message_10_dp": (0.3, 0.7)},
    "leak_lstm": {"exact_1x8": (1, 1), "exact_1x32": (1, 1), "exact_8x16": (1, 1), "exact_8x32": (0, 0),
                  "knows": (1, 1)},
    "leak_local_steps": {"peeled_4": (1, 1), "span_4": (0.2, 0.3)},
    "leak_myths": {"recall_8_bit": (1, 1), "recall_4_bit": (1, 1), "recall_sign": (0.99, 1),
                   "precision_sign": (0.99, 1), "recall_top_1_percent": (0, 0.3),
                   "recall_few_bits": (0.6, 1), "recall_by_chance": (0.9, 1), "recall_random_10_percent": (0.7, 0.9),
                   "precision_few_bits": (1, 1), "precision_by_chance": (1, 1), "precision_random_10_percent": (1, 1)},
    "leak_digits": {"linear_error_float64": (0, 1e-12),
                    "linear_error_transcript": (0, 1e-5), "found": (0.9, 1),
                    "false_images": (0, 0), "psnr_dlg_sigmoid": (60, 1000), "labels_sum": (0.9, 1),
                    "found_dp": (0, 0), "labels_dp": (0.3, 0.95)},
    "leak_counts": {"named": (1, 1), "false": (0, 0), "alone": (1, 1), "left_named": (1, 1), "left_false": (0, 0),
                    "guessed_dp": (0.35, 0.65), "left_guessed_dp": (0.3, 0.7), "epsilon": (0.99, 1)},
    "leak_differencing": {"collusion_recall": (1, 1), "collusion_precision": (1, 1), "differencing_recall": (1, 1),
                          "stopped_min_cohort": (1, 1), "stopped_max_overlap": (1, 1), "stopped_model_hash": (1, 1),
                          "stopped_model_hash_masks": (0, 0), "stopped_replay": (1, 1)},
}  # fmt: skip
ENCRYPTED = ("leak_sum", "leak_differencing")


QUICK = {"key_bits": 1024, "insecure_test_key": True}
NOISED = {"leak_sum", "leak_sender", "leak_membership", "leak_digits"}  # told with noise too, in the same run
ENCRYPTED = {"leak_sum", "leak_differencing"}  # the stories that use a key


@pytest.mark.parametrize("name", EXPECTED)
def test_the_story_states_its_figures_and_what_to_conclude(tmp_path, name):
    more = (QUICK if name in ENCRYPTED else {}) | ({"dp": "epsilon=8,clip=1"} if name in NOISED else {})
    outcome = SCENARIOS.load(name)(Options(out=tmp_path / "run", **more))
    claims = {claim.name: claim.value for claim in outcome.claims}
    for claim, (low, high) in EXPECTED[name].items():
        assert low <= claims[claim] <= high, (claim, claims[claim])
    check_what_is_kept(name, outcome)


def check_what_is_kept(name: str, outcome: Outcome) -> None:
    """The figures, one picture twice, and a plain sentence at the end."""
    kept = json.loads((outcome.run_dir / "run.json").read_text())["outcome"]
    assert kept["state"] == "done"
    assert kept["claims"] == {claim.name: claim.value for claim in outcome.claims}
    assert outcome.rounds > 0
    for kind in ("png", "svg"):
        assert (outcome.run_dir / f"{name}.{kind}").stat().st_size > 1000
    *_, picture, conclusion = outcome.story.splitlines()
    assert picture.startswith("picture: ")
    assert conclusion.endswith(".")


def test_the_searches_stand_side_by_side(tmp_path, monkeypatch):
    """As `fedlearn run leak_matching`, on a line and a model that are searched through in a moment."""
    monkeypatch.setattr(leak_matching, "LENGTHS", (5,))
    monkeypatch.setattr(leak_play, "HIDDEN", 24)
    outcome = leak_matching.run(Options(out=tmp_path / "run"))
    claims = {claim.name: claim.value for claim in outcome.claims}
    assert claims["exact_span_5"] == claims["exact_lamp_5"] == 1.0
    assert all(claims[f"rouge2_{method}_5"] > 0.3 for method in ("dlg", "idlg", "tag"))
    check_what_is_kept("leak_matching", outcome)


@pytest.mark.parametrize("name", ["leak_lstm", "leak_words"])
def test_too_little_data_is_refused_and_leaves_no_folder(tmp_path, name):
    (tmp_path / "short.txt").write_text("ham\tno\nspam\tyes\nham\tperhaps\n")
    with pytest.raises(BadInput, match="short"):
        SCENARIOS.load(name)(Options(data=str(tmp_path / "short.txt"), out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
