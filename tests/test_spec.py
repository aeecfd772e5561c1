"""One way to read what a user writes: the same table of good and bad texts for every option that takes key=value."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregator.clock import Distribution
from aggregator.costs import Network
from aggregator.faults import Faults
from aggregator.sampling import SAMPLERS
from clients import Client
from clients.behaviours import infiltrate
from fedlearn.datasets import PARTITIONS, VOCABULARIES
from fedlearn.errors import BadInput
from fedlearn.secure import PROTECTIONS
from fedlearn.secure.base import Settings
from fedlearn.spec import Key, construct, keys_of, read_settings, read_value, split_entries
from scenarios.command import build, coding
from scenarios.command.options import Options
from tests.toys import toy_clients, toy_codec


class Colour(Enum):
    RED = "r"
    BLUE = "b"


def halved(text: str) -> float:
    if not text.isdecimal():
        raise BadInput(f"{text!r} cannot be halved: give a whole number")
    return int(text) / 2


@dataclass(frozen=True)
class Everything:
    """A field of each kind."""

    share: float = 0.5
    count: int = 3
    nesterov: bool = False
    clip: float | None = None
    name: str = "x"
    rule: Literal["mean", "median"] = "mean"
    colour: Colour = Colour.RED
    widths: tuple[int, ...] = ()
    pair: tuple[int, float] = (1, 1.0)
    steps: Sequence[float] = ()
    slower: Distribution | None = None
    half: Annotated[float, halved] = 0.0
    file: Path = Path()


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("0.25", "share", 0.25),  # the first key may go without its name
        ("share=1e-3", "share", 1e-3),
        ("share=inf", "share", math.inf),
        ("count=-2", "count", -2),
        *((f"nesterov={word}", "nesterov", True) for word in ("true", "True", "yes", "ON", "1")),
        *((f"nesterov={word}", "nesterov", False) for word in ("false", "False", "no", "off", "0")),
        ("clip=1.5", "clip", 1.5),
        ("clip=none", "clip", None),
        ("name=a b", "name", "a b"),
        ("name=a=b", "name", "a=b"),
        ("rule=median", "rule", "median"),
        ("colour=b", "colour", Colour.BLUE),
        ("colour=BLUE", "colour", Colour.BLUE),
        ("widths=(64, 32,10)", "widths", (64, 32, 10)),
        ("widths=()", "widths", ()),
        ("pair=(2,0.5)", "pair", (2, 0.5)),
        ("steps=(1,2.5)", "steps", (1.0, 2.5)),
        ("slower=lognormal(0.5, 1)", "slower", Distribution("lognormal", (0.5, 1.0))),
        ("slower=none", "slower", None),
        ("half=5", "half", 2.5),
        ("file=~/x", "file", Path.home() / "x"),
        ("  count = 4 ,  share = 0.1 ", "count", 4),
    ],
)
def test_a_value_is_read_by_its_annotation(text, key, value):
    read = getattr(construct(Everything, text, "toy everything"), key)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("count=1.5", "toy everything: count is '1.5', a whole number is needed, as in count=3"),
        ("count=1e5", "count is '1e5', a whole number"),
        (f"count={'9' * 5000}", "fewer digits"),
        ("share=nan", "share is 'nan', a number is needed, as in share=0.5"),
        ("share=0,5", "toy everything has no value in '5': share, count"),
        ("nesterov=maybe", "nesterov is 'maybe', true or false is needed, as in nesterov=false"),
        ("clip=much", "clip is 'much', a number or none is needed"),
        ("rule=meen", r"rule is 'meen', one of mean, median \(did you mean 'mean'\?\) is needed"),
        ("colour=green", "colour is 'green', one of r, b, RED, BLUE"),
        ("widths=64", "widths is '64', a list in parentheses is needed, as in widths="),
        ("widths=(64,x)", r"widths is '\(64,x\)', a whole number is needed"),
        ("pair=(1,2,3)", "a list of 2 values in parentheses"),
        ("slower=normal(1,1)", "is no distribution"),
        ("half=x", "'x' cannot be halved"),
        ("nestorov=yes", r"has no 'nestorov' \(did you mean 'nesterov'\?\): it takes share, count, nesterov"),
        ("share=1,share=2", "has share twice, the second time as 'share=2': give it once"),
        ("0.1,share=2", "has share twice"),
        ("share=", "has no value for share: write one, as in share=0.5"),
        ("share", "share is 'share', a number is needed"),
        ("0.1,count", "has no value for count: write one, as in count=3"),
        ("", "has no value in ''"),
        ("share=1,,count=2", "has no value in ''"),
        ("share=1,", "has no value in ''"),
        ("=1", "has no ''"),
    ],
)
def test_what_cannot_be_read_says_what_is_needed(text, says):
    with pytest.raises(BadInput, match=says) as refused:
        construct(Everything, text, "toy everything")
    assert "\n" not in str(refused.value)


def test_what_has_no_default_must_be_given():
    def ring(size: int, hops: int = 1) -> tuple[int, int]:
        return size, hops

    assert construct(ring, "3", "topology ring") == (3, 1)
    assert construct(ring, "hops=2,size=3", "topology ring") == (3, 2)
    assert construct(ring, None, "topology ring", size=5) == (5, 1)
    with pytest.raises(BadInput, match="topology ring needs size: write ring:size=2"):
        construct(ring, None, "topology ring")


def test_a_class_without_annotations_is_read_by_its_defaults():
    class Plain:
        def __init__(self, crew, often=0.5, loud=False, tag=None):
            self.given = crew, often, loud, tag

    assert construct(Plain, "1,loud=yes,tag=7", "toy plain", "crew").given == ("crew", 1.0, True, 7)
    assert list(keys_of(Plain)) == ["crew", "often", "loud", "tag"]


def test_a_value_that_text_cannot_say_is_refused():
    with pytest.raises(BadInput, match="something that text cannot say"):
        read_value("x", Key(dict[str, int]), "toy: table", "table=1")


@given(st.lists(st.text("ab1 ,()=", max_size=8), max_size=6))
def test_entries_within_parentheses_stay_together(texts):
    nested = [f"x({text.replace('(', '').replace(')', '')})" for text in texts]
    assert split_entries(",".join(nested)) == (nested or [""])


# Every option that takes key=value reads it in this one way.

Reader = Callable[[str], Any]


def _behaviour(text: str) -> Any:
    clients: list[Client] = toy_clients(10)
    spoilt = infiltrate(clients, f"sign-flip:2,{text}", cohort=4, seed=0, classes=2)
    return {spoilt[i].behaviour for i in range(10)}


def _strategy(text: str) -> Any:

    return build.strategy(Options(strategy=f"fedprox:{text}"))


def _codec(text: str) -> Any:
    return coding.codec(Options(codec=text), bits=24, bound=4.0, addends=100)


USERS: dict[str, tuple[Reader, str, str]] = {  # how it is read, a key that it takes, a value of that key
    "--strategy": (_strategy, "lr", "0.5"),
    "--codec": (_codec, "bits", "20"),
    "--faults": (Faults.parse, "dropout", "0.5"),
    "--network": (lambda text: Network.parse(f"4g,{text}"), "latency", "40ms"),
    "--network from home": (Network.parse, "latency", "40ms"),
    "--malicious": (_behaviour, "scale", "0.5"),
    "--partition": (lambda text: PARTITIONS.parse(f"dirichlet:{text}"), "alpha", "0.5"),
    "--vocabulary": (lambda text: VOCABULARIES.parse(f"hashed:{text}").buckets, "buckets", "50"),
    "--sampler": (lambda text: vars(SAMPLERS.parse(f"availability:{text}", list)), "diurnal", "5"),
    "--protection": (lambda text: PROTECTIONS.parse(f"masks:{text}", Settings(toy_codec())), "neighbours", "5"),
}


@pytest.mark.parametrize("option", USERS)
def test_every_user_of_the_parser_takes_the_same_good_texts(option):
    read, key, value = USERS[option]
    plain = read(f"{key}={value}")
    for same in (f" {key}={value}", f"{key} = {value}", f"{key}= {value} "):
        assert read(same) == plain


@pytest.mark.parametrize("option", USERS)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{key}={value},{key}={value}", "has {key} twice"),
        ("{key}={value},", "has no value in ''"),
        ("{key}={value},nosuch=1", "has no 'nosuch'.*: it takes .*{key}"),
        ("{key}={value},{key}", "has no value for {key}|has {key} twice"),
        ("{key}=", "has no value for {key}"),
        ("{key}=nan", "number|no such quantity"),
        ("{key}=some", "'some'.* (number|quantity)"),
    ],
)
def test_every_user_of_the_parser_refuses_the_same_bad_ones(option, text, says):
    read, key, value = USERS[option]
    with pytest.raises(BadInput, match=says.format(key=key)):
        read(text.format(key=key, value=value))


def test_keys_are_named_where_there_are_none():
    with pytest.raises(BadInput, match="partition iid takes no argument, it was given '3': leave it out"):
        read_settings("3", {}, "partition iid")
