from __future__ import annotations

import re

import pytest

from fedlearn.datasets.speakers import speeches

LATE, IS = "Is it late? I say: go", "It is: yes"


def play(layout: str, beside: str = "") -> str:
    """Two speeches of OTTO's and one of IDA's in a layout with {name} and {said}, twice, `beside` before each time."""
    lines = [layout.format(name=name, said=said) for name, said in [("OTTO", LATE), ("IDA", IS), ("OTTO", "Well.")]]
    return (beside + "".join(lines)) * 2


@pytest.mark.parametrize(
    "layout",
    [
        "{name}: {said}\n", "{name}: {said}\n\n", "{name}:\n{said}\n", "{name}:\n{said}\n\n", "{name}:\n\n{said}\n\n",
        "{name}. {said}\n", "{name}. {said}\n\n", "{name}.\n{said}\n", "{name}.\n{said}\n\n", "{name}.\n\n{said}\n\n",
        "{name}\n{said}\n", "{name}\n{said}\n\n", "{name}\n\n{said}\n\n", "        {name}\n{said}\n\n",
        "{name} (aside): {said}\n", "{name} [aside].\n{said}\n\n", "{name}, aside.\n\n{said}\n\n",
        "{name}.\u2014{said}\n\n", "{name} \u2014 {said}\n", "{name}\uff1a{said}\n",
        "_{name}._ {said}\n\n", "**{name}:** {said}\n", "**{name}**: {said}\n\n", "_{name} (aside)._\n\n{said}\n\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("beside", ["", "\nACT I\n\n", "\nSCENE II. A yard.\n\n[Enter both.]\n\n"])
def test_every_layout_gives_the_same_speeches(layout, beside):
    found = speeches(play(layout, beside))
    assert {name: re.sub(r"\s+", " ", said).strip() for name, said in found.items()} == {
        "OTTO": " ".join([LATE, "Well."] * 2), "IDA": " ".join([IS] * 2),
    }  # fmt: skip


def test_what_begins_without_a_name_goes_on():
    lines = "OTTO: Is it late,\n  my friend: is it?\nIDA: It is.\nSo it is.\n" * 3
    assert speeches(lines) == {
        "OTTO": "\n".join(["Is it late,\n  my friend: is it?"] * 3),
        "IDA": "\n".join(["It is.\nSo it is."] * 3),
    }
    blocks = "OTTO\nIs it late?\n\nHe said so: it is.\n\nIDA\nIt is.\n\n" * 3
    assert speeches(blocks)["OTTO"] == "\n".join(["Is it late?\nHe said so: it is."] * 3)


def test_blanks_are_no_part_of_a_name_and_cost_no_more_than_they_are():
    french = "Alice : salut\n\nBob\u00a0: oui\n\nAlice: bien\n\nBob (à part) : non"
    assert speeches(french) == {"Alice": "salut\nbien", "Bob": "oui\nnon"}
    assert speeches("A" + " " * 10**6 + "B\n" + "\u00a0" * 10**6) == {}  # took hours
    assert speeches("OTTO" + " " * 10**5 + "\nhi\n\n" + "EVA (aside)\nyes") == {"EVA": "yes", "OTTO": "hi"}


def test_names_of_other_scripts_and_cases():
    for names in ("ओटो इडा", "Борис Фёдор", "奥托 伊达", "otto ida"):
        one, other = names.split()
        assert set(speeches(f"{one}: yes\n{other}: no\n" * 3)) == {one, other}
    assert set(speeches("First Lord: Go.\nIda of Kent: No.\n" * 3)) == {"First Lord", "Ida of Kent"}
    assert set(speeches("THE DAUGHTER [far left] Go.\n\nTHE MOTHER. No.\n\n" * 3)) == {"THE DAUGHTER", "THE MOTHER"}
    assert set(speeches("_Q. Cic._ Mihi.\n\n_M. Ant._ Tu.\n\n" * 3)) == {"Q. Cic", "M. Ant"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Once upon a time.\n\nIt was late. He said: go.\n\nThey went.\n\nAnd so on.\n",
        "CHAPTER I.\n\nIt was late.\n\nCHAPTER II.\n\nIt was early.\n\nIII.\n\nIt was.\n\n",
        "Mr. Darcy smiled.\n\nMrs. Bennet did not.\n\nDr. Jones slept.\n\n" * 4,
    ],
)
def test_other_texts_have_no_speakers(text):
    assert speeches(text) == {}
