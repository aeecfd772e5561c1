"""Values that a checkpoint and a run's records give back: arrays of any layout, and numbers that JSON lacks."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from aggregator import RoundRecord
from fedlearn.errors import BadInput
from tests.aggregator.folders import begun, keep, rows, state, weights

ARRAYS = {
    "a column": np.arange(12.0).reshape(4, 3)[:, 0],
    "backwards": np.arange(5, dtype=np.float32)[::-1],
    "transposed": np.arange(6).reshape(2, 3).T,
    "every other": np.arange(12.0)[::2],
    "broadcast": np.broadcast_to(np.float32(2), (3, 2)),
    "one number": np.array(3.5),
    "a NumPy number": np.float64(2.5),
    "nothing": np.zeros((0, 3), np.float32),
    "by another machine": np.arange(3, dtype=">f4"),
    "half": np.arange(3, dtype=np.float16),
    "flags": np.array([True, False]),
    "weights": np.arange(2.0),  # named as the model's own
}


@pytest.mark.parametrize("name", ARRAYS)
def test_state_of_any_layout_is_found_again(name, tmp_path):
    with begun(tmp_path / "run") as folder:
        for round in (1, 2):
            folder.keep(RoundRecord(round), weights(round), {name: ARRAYS[name]}, lambda: state(1))
    with begun(folder.path, resume=True) as again:
        kept = again.read_checkpoint()
    assert [record.round for record in kept.records] == [1, 2]
    np.testing.assert_array_equal(kept.weights, weights(2))
    np.testing.assert_array_equal(kept.state[name], ARRAYS[name], strict=False)
    assert kept.state[name].dtype == np.asarray(ARRAYS[name]).dtype.newbyteorder("<")
    assert kept.state[name].shape == np.shape(ARRAYS[name])


@pytest.mark.parametrize("array", [np.zeros(2, complex), np.array(["a"]), np.array([None])])
def test_state_that_no_checkpoint_holds_is_refused_by_name(array, tmp_path):
    with begun(tmp_path / "run") as folder:
        keep(folder, 1)
        with pytest.raises(BadInput, match="state 'odd'"):
            folder.keep(RoundRecord(2), weights(2), {"odd": array}, lambda: state(2))
        assert len(rows(folder.path)) == 1


def test_numbers_that_json_has_no_words_for_are_null(tmp_path):
    record = RoundRecord(
        1, evaluation_loss=math.inf, metrics={"f1": math.nan, "accuracy": 0.5}, seconds={"update": math.nan}
    )
    with begun(tmp_path / "run") as folder:
        folder.keep(record, weights(1), {}, lambda: {})
        folder.write_outcome({"metrics": {"f1": math.nan, "of": [math.inf, 1]}})

    def refuse(word: str) -> None:
        raise AssertionError(word)

    row = json.loads((folder.path / "metrics.jsonl").read_text(), parse_constant=refuse)
    assert (row["loss"], row["f1"], row["accuracy"], row["seconds"]) == (None, None, 0.5, {"update": None})
    run = json.loads((folder.path / "run.json").read_text(), parse_constant=refuse)
    assert run["outcome"] == {"metrics": {"f1": None, "of": [None, 1]}}
    with begun(folder.path, resume=True) as again:
        (found,) = again.read_checkpoint().records
    assert math.isnan(found.metrics["f1"])
    assert found.metrics["accuracy"] == 0.5
    assert "f1 nan" in found.headline()
