"""`check_rule` names what a robust rule gets wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest

from aggregator.robust import Combined, Rule
from aggregator.robust.base import OfAMinority, minority
from fedlearn.testing import (
    check_rule,
)


class Mean(Rule):
    """It says that it stands a minority, and does not."""

    def most(self, n):
        return minority(n)

    def combine(self, points, beside):
        return Combined(points.vectors.mean(axis=0))


class Median(Mean):
    def combine(self, points, beside):
        return Combined(np.median(points.vectors, axis=0))


class First(Mean):
    def combine(self, points, beside):
        return Combined(points.vectors[0].copy())


class Restless(Median):
    """Its draws are not the run's."""

    def combine(self, points, beside):
        return Combined(super().combine(points, beside).vector * np.float32(1 - random.random() / 1000))


class Sorts(Median):
    def combine(self, points, beside):
        points.vectors.sort(axis=0)
        return super().combine(points, beside)


class Wide(Median):
    def combine(self, points, beside):
        return Combined(super().combine(points, beside).vector.astype(np.float64))


class Halved(Median):
    def combine(self, points, beside):
        return Combined(super().combine(points, beside).vector / 2)


class Long(Median):
    def combine(self, points, beside):
        return Combined(super().combine(points, beside).vector * 2)


class Pairs(Median):
    """All differences at once, (n, n, d)."""

    def combine(self, points, beside):
        apart = points.vectors[:, None] - points.vectors[None]
        return super().combine(points, beside) if np.isfinite(apart).all() else Combined(points.vectors[0])


class Unchecked(Median):
    def __call__(self, vectors, beside=None):
        return Combined(np.median(np.asarray(vectors, np.float32), axis=0))


class Falls(Median):
    def most(self, n):
        return max(0, 2 - n // 4)


class All(Median):
    def most(self, n):
        return n


@dataclass(frozen=True)
class Greedy(OfAMinority, Median):
    """It never asks whether it stands so many."""


class Chooses(Median):
    def combine(self, points, beside):
        return Combined(super().combine(points, beside).vector, np.array([1, 0]))


class Scores(Median):
    def combine(self, points, beside):
        return Combined(super().combine(points, beside).vector, scores=np.zeros(99))


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (Mean(), "4 of 23 vectors far away move the result"),
        (First(), "the order of vectors decides the result"),
        (Restless(), "other bits the second time"),
        (Sorts(), "the rule wrote to the vectors"),
        (Wide(), "the result is float64"),
        (Halved(), "equal vectors? the rule makes another"),
        (Long(), "the result has length"),
        (Pairs(), "times the memory of its vectors: work in blocks"),
        (Unchecked(), "a vector that holds nan is taken"),
        (Falls(), r"most\(\) falls"),
        (All(), "stands that all are malicious"),
        (Greedy(), "f=6 of 11 is taken"),
        (Chooses(), r"chosen is \[1, 0\]"),
        (Scores(), r"scores have shape \(99,\)"),
    ],
)
def test_what_a_rule_gets_wrong_is_named(rule, says):
    with pytest.raises(AssertionError, match=says):
        check_rule(rule)


def test_a_rule_of_ones_own_passes():
    check_rule(Median())
