"""Each part of Flower's inside that the bridge uses, under the release that is installed: what breaks is named here."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from clients.flower import internals

HEADER = internals._header(np.dtype(float), (1,)).replace(b"'<f8'", b"'|O' ")
NPY_OF_OBJECTS = HEADER + pickle.dumps([1])


def message() -> Message:
    with internals.identity(7):
        made = Message(RecordDict({"a": ArrayRecord({"w": Array(np.arange(3.0))})}), 9, "train", group_id="2")
    internals.stamp(made, "m1", 7)
    return made


def test_a_stamped_message_says_its_run_and_whom_it_is_from():
    metadata = message().metadata
    assert (metadata.run_id, metadata.message_id, metadata.src_node_id, metadata.dst_node_id) == (7, "m1", 1, 9)


def test_the_identity_is_taken_back():
    try:
        from flwr.supercore.task_identity import TaskIdentity
    except ImportError:
        pytest.skip("this release knows no identity")
    with internals.identity(3):
        assert (TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id) == (1, 3, 1)
    with pytest.raises(RuntimeError, match="not set"):
        _ = TaskIdentity.run_id


def test_replies_pass_as_bytes_and_errors_too():
    asked = message()
    records = RecordDict({"w": asked.content["a"], "c": ConfigRecord({"x": [1.5], "b": b"\0"})})
    again = internals.from_bytes(internals.to_bytes(Message(records, reply_to=asked)))
    np.testing.assert_array_equal(again.content["w"]["w"].numpy(), np.arange(3.0))
    assert dict(again.content["c"]) == {"x": [1.5], "b": b"\0"}
    assert (again.metadata.reply_to_message_id, again.metadata.src_node_id) == ("m1", 9)
    failed = internals.from_bytes(internals.to_bytes(internals.failed(asked, "KeyError: 'x'")))
    assert failed.has_error()
    assert failed.error.reason == "KeyError: 'x'"


def test_a_run_has_its_id():
    assert internals.run_named(5).run_id == 5


def test_copied_records_are_equal_and_change_no_others():
    first = RecordDict(
        {"a": message().content["a"], "c": ConfigRecord({"x": [1], "y": 2}), "m": MetricRecord({"z": 0.5})}
    )
    again = internals.copied(first)
    assert again == first
    assert list(again.config_records) == ["c"]
    again["c"]["x"].append(3)
    again["c"]["y"] = 4
    del again["m"]["z"]
    again["new"] = ConfigRecord()
    assert (dict(first["c"]), dict(first["m"])) == ({"x": [1], "y": 2}, {"z": 0.5})
    assert list(first) == ["a", "c", "m"]
    with pytest.raises(TypeError):
        again["c"]["y"] = object()  # values are checked as ever


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6.0, dtype=np.float32).reshape(2, 3),
        np.array(2.5),
        np.zeros((0, 3)),
        np.arange(4, dtype=">i2"),
        np.array([True, False]),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(12.0).reshape(3, 4)[:, ::2],
        np.array([1 + 2j]),
        np.array(["text"]),
    ],
)
def test_arrays_are_made_and_read_as_flower_does_it(values):
    flowers = Array(values)
    with internals.quick_arrays():
        ours = Array(values)
        again = flowers.numpy()
    assert (ours.dtype, ours.shape, ours.stype, ours.data) == (
        flowers.dtype, flowers.shape, flowers.stype, flowers.data,
    )  # fmt: skip
    assert (again.dtype, again.shape, again.flags.writeable) == (values.dtype, values.shape, True)
    np.testing.assert_array_equal(again, values)
    assert ours.object_id == flowers.object_id
    assert Array.from_numpy_ndarray(values).data == ours.data  # by Flower's own again


def test_plain_arrays_take_the_shorter_way_and_no_others(monkeypatch):
    theirs = Array(np.arange(3.0))
    strange = Array(theirs.dtype, theirs.shape, "strange", theirs.data)
    with internals.quick_arrays(), pytest.raises(TypeError, match=r"strange|ndarray"):
        strange.numpy()
    for name in ("save", "load"):
        monkeypatch.setattr(np, name, None)  # NumPy's own ways, which Flower goes
    with internals.quick_arrays():
        assert Array(np.arange(3.0)).numpy().tolist() == [0, 1, 2]
        for other in (np.ma.array([1.0]), np.zeros((2, 3)).T, np.array([1 + 2j])):
            with pytest.raises(TypeError, match="not callable"):
                Array(other)


@pytest.mark.parametrize("cut", [3, 40, -1])
def test_an_array_cut_short_gives_numpys_own_error(cut):
    whole = Array(np.arange(3.0))
    short = Array(whole.dtype, whole.shape, whole.stype, whole.data[:cut])
    with pytest.raises((ValueError, EOFError)) as numpys:
        short.numpy()
    with internals.quick_arrays(), pytest.raises(type(numpys.value)) as ours:
        short.numpy()
    assert str(ours.value) == str(numpys.value)


def test_an_array_of_objects_is_refused_as_by_flower():
    held = Array("object", (1,), "numpy.ndarray", NPY_OF_OBJECTS)
    with internals.quick_arrays():
        with pytest.raises(ValueError, match="allow_pickle=False"):
            held.numpy()
        with pytest.raises(ValueError, match="allow_pickle=False"):
            Array(np.array([None]))
