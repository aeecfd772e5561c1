"""A clip that follows the norms of updates: what is sent for it, what is charged, and that a resumed run goes on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator import Aggregator, RunFolder
from clients import InlinePool
from fedlearn.errors import BadInput, PrivacyError, ProtocolError, ShapeError
from fedlearn.privacy import Privacy, Terms
from fedlearn.privacy.adaptive import LARGEST_SHARE, PACE, is_below, lane_steps, next_clip, update_steps
from fedlearn.secure.layouts import layout_of
from fedlearn.strategies.base import LocalUpdate, Output
from tests.privacy.test_in_runs import SETTINGS, people, protection, train

ASKED = "noise=1,clip=0.3,adaptive=0.5"


def terms(**changes) -> Terms:
    given = {"where": "aggregator", "noise": 1.0, "clip": 0.3, "steps": 1 << 15, "expected": 40.0, "adaptive": 0.8}
    return Terms(**given | changes)


@given(st.floats(0.01, 20), st.integers(2**11, 2**20), st.floats(1, 10_000), st.floats(1e-3, 1e3))
def test_update_and_answer_together_are_no_longer_than_the_clip(noise, steps, expected, length):
    made = terms(noise=max(noise, 20.5 / steps), steps=steps, expected=expected)
    update = np.random.default_rng(0).normal(size=50) * length
    q = made.quantise(update)
    assert int((q**2).sum()) <= steps**2
    assert q.shape == (51,)
    assert q[-1] == (made.lane if np.linalg.norm(update) <= 0.3 else -made.lane)


def test_the_noise_is_that_of_the_paper():
    """z_delta = (z^-2 - (2 sigma_b)^-2)^(-1/2), with sigma_b a twentieth of the cohort."""
    noise, expected, steps = 1.3, 80.0, 1 << 20
    lane = lane_steps(noise, steps, expected)
    spread = noise * steps / (2 * lane)  # of the count, in clients
    assert spread == pytest.approx(expected / 20, rel=1e-4)
    ours = noise * steps / update_steps(steps, lane)
    assert ours == pytest.approx((noise**-2 - (2 * spread) ** -2) ** -0.5, rel=1e-5)
    assert noise < ours < noise / math.sqrt(1 - LARGEST_SHARE**2)


def test_the_sum_says_how_many_are_at_or_below_the_clip():
    made = terms()
    rng = np.random.default_rng(0)
    updates = rng.normal(size=(40, 9)) * 0.1
    updates[3] = np.nan  # counts as zeros
    layout = layout_of({"delta": Output(9)}, SETTINGS.codec, 1, made)
    total = sum(layout.encode(LocalUpdate({"delta": update}, 5, 0.1)).astype(np.int64) for update in updates)
    with pytest.raises(ShapeError, match=r"has shape \(8,\), the plan says \(9,\)"):
        layout.encode(LocalUpdate({"delta": updates[0, :8]}, 5, 0.1))
    found = layout.decode(total, 40)
    true = np.mean(np.linalg.norm(np.nan_to_num(updates), axis=1) <= 0.3)
    assert 0.1 < true < 0.9
    assert found.below == pytest.approx(true, abs=1e-9)
    assert is_below(updates, 0.3).mean() == true
    assert found.mean["delta"].shape == (9,)


def test_the_next_clip_goes_towards_the_quantile():
    assert next_clip(1.0, 0.9, 0.5) == pytest.approx(math.exp(-PACE * 0.4))
    assert next_clip(1.0, 0.1, 0.5) == pytest.approx(math.exp(PACE * 0.4))
    assert next_clip(1.0, 7.0, 0.5) == next_clip(1.0, 1.0, 0.5)  # noise alone carries no share beyond 1
    assert next_clip(1e-30, 1.0, 0.5) > 0
    assert math.isfinite(next_clip(1e30, 0.0, 0.5))


def test_a_clip_from_anywhere_ends_at_the_norms():
    ends = []
    for start in (0.05, 10.0):
        _, history, _ = train(privacy=f"noise=0.05,clip={start},adaptive=0.5", rounds=50, count=12)
        clips = [record.clip for record in history.rounds]
        assert clips[0] == pytest.approx(start)
        assert [record.next_clip for record in history.rounds][:-1] == clips[1:]
        assert np.mean([record.below for record in history.rounds[-10:]]) == pytest.approx(0.5, abs=0.3)
        ends.append(history.rounds[-1].next_clip)
    assert ends[0] == pytest.approx(ends[1], rel=0.4)


def test_it_costs_no_more_and_is_in_the_record():
    _, adaptive, _ = train(privacy=ASKED, rounds=3)
    _, fixed, _ = train(privacy="noise=1,clip=0.3", rounds=3)
    assert [r.epsilon for r in adaptive.rounds] == [r.epsilon for r in fixed.rounds]
    assert fixed.rounds[0].clip is None
    said = adaptive.privacy
    assert (said["adaptive"], said["clip"], said["next_clip"]) == (0.5, 0.3, adaptive.rounds[-1].next_clip)
    assert adaptive.rounds[0].to_dict()["below"] == adaptive.rounds[0].below


def test_protections_and_stacks_change_no_bit():
    models = {}
    for spec, where in (("none", "clients"), ("masks", "clients"), ("none", "aggregator"), ("paillier", "opener")):
        models[spec, where] = train(spec, f"{ASKED},where={where}")[0].tobytes(), where == "clients"
    models["one by one"] = train("none", f"{ASKED},where=clients", stack="off")[0].tobytes(), True
    assert len(set(models.values())) == 2  # of noise by clients, and by one party


def test_a_resumed_run_goes_on_with_the_clip_it_had(tmp_path):
    whole, history, _ = train("none", ASKED, rounds=4)
    folder = tmp_path / "run"
    train("none", ASKED, rounds=2, folder=RunFolder(folder, {"seed": 5}, {}))
    weights, after, _ = train("none", ASKED, rounds=4, folder=RunFolder(folder, {"seed": 5}, {}, resume=True))
    assert weights.tobytes() == whole.tobytes()
    assert [r.clip for r in after.rounds] == [r.clip for r in history.rounds]
    assert [r.next_clip for r in after.rounds] == [r.next_clip for r in history.rounds]


def test_void_rounds_leave_the_clip_as_it_is():
    _, history, _ = train("paillier", ASKED, rounds=6, faults="dropout=0.55")
    void = [record for record in history.rounds if record.void is not None]
    assert void
    assert all(record.clip == record.next_clip and record.below is None for record in void)


@pytest.mark.parametrize("quantile", ["0", "1", "-0.5", "nan", "half"])
def test_a_quantile_of_nothing_is_refused(quantile):
    with pytest.raises(BadInput, match="adaptive"):
        Privacy.parse(f"noise=1,clip=0.3,adaptive={quantile}")
    with pytest.raises(PrivacyError, match="quantile"):
        terms(adaptive=-0.5)


@pytest.mark.parametrize("clip", [[], [0.0], [-1.0], [math.nan], [1.0, 1.0]])
def test_clients_refuse_a_request_without_a_clip(clip):
    layout = layout_of({"delta": Output(9)}, SETTINGS.codec, 1, terms())
    with pytest.raises(ProtocolError, match="clip"):
        layout.in_round({"clip": np.array(clip, np.float32)})


def test_a_question_has_no_clip_to_adapt():
    from aggregator import ask

    with pytest.raises(PrivacyError, match="adaptive"):
        ask("classes:2", InlinePool(people()), protection(), privacy=ASKED)


def test_the_request_names_the_clip(tmp_path):
    aggregator = Aggregator(train()[2].model, None, "none", privacy=ASKED, folder=tmp_path / "run")
    aggregator.fit(people(), 2)
    assert aggregator.history.rounds[1].clip == aggregator.history.rounds[0].next_clip
