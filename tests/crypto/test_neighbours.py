from __future__ import annotations

from math import comb, nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedlearn.crypto.neighbours import choose_neighbourhood, neighbourhood, neighbours
from fedlearn.errors import BadInput, CryptoKeyError


@pytest.mark.parametrize("count", [3, 4, 5, 7, 10, 30, 100, 400])
def test_the_graph_is_mutual_connected_and_of_one_degree(count):
    plan = choose_neighbourhood(count)
    clients = [7 * i + 3 for i in range(count)]
    graph = neighbours(clients, plan.degree, b"round 1")
    assert set(graph) == set(clients)
    for client, near in graph.items():
        assert len(near) == len(set(near)) == plan.degree
        assert client not in near
        assert all(client in graph[other] for other in near)
    assert graph == neighbours(clients, plan.degree, b"round 1")
    if plan.degree < count - 1:
        assert graph != neighbours(clients, plan.degree, b"round 2")


@pytest.mark.parametrize("count", [3, 4, 5, 6, 10, 17, 50, 100, 1000])
@pytest.mark.parametrize("fractions", [(0.2, 0.3), (0.0, 0.1), (0.33, 0.1)])
def test_the_guarantee_holds_as_stated(count, fractions):
    plan = choose_neighbourhood(count, *fractions)
    holders = plan.degree + 1
    assert plan.corrupt >= fractions[0] * count
    assert plan.insecurity <= 2**-40
    assert plan.failure <= 2**-20
    assert 2 * plan.threshold > holders
    assert plan.threshold > min(plan.corrupt, plan.degree) or plan.insecurity > 0
    if plan.degree == count - 1:
        assert plan.corrupt < plan.threshold <= count - plan.dropouts


def exact_bounds(count, degree, threshold, corrupt, dropouts):
    """Insecurity and failure by whole numbers, from the formulas."""

    def hits(marked, least):
        ways = [comb(marked, h) * comb(count - 1 - marked, degree - h) for h in range(least, degree + 1)]
        return count * sum(ways) / comb(count - 1, degree)

    run, gone = degree // 2, corrupt + dropouts
    apart = count * comb(gone, run) / comb(count, run)
    return hits(corrupt, threshold) + apart, hits(dropouts, degree - threshold + 1)


@pytest.mark.parametrize(("count", "fractions"), [(100, (0.1, 0.2)), (200, (0.2, 0.3)), (500, (0.33, 0.33))])
def test_stated_probabilities_follow_from_exact_binomials_and_no_smaller_degree_would_do(count, fractions):
    plan = choose_neighbourhood(count, *fractions)
    exact = exact_bounds(count, plan.degree, plan.threshold, plan.corrupt, plan.dropouts)
    assert exact == pytest.approx((plan.insecurity, plan.failure), rel=1e-6, abs=1e-25)
    smaller = plan.degree - 2
    for threshold in range(smaller // 2 + 1, smaller + 1):
        insecurity, failure = exact_bounds(count, smaller, threshold, plan.corrupt, plan.dropouts)
        assert insecurity > 2**-40 or failure > 2**-20


@given(st.integers(4, 60), st.data())
def test_what_a_given_degree_guarantees_follows_from_exact_binomials(count, data):
    degree = 2 * data.draw(st.integers(1, (count - 2) // 2))
    corrupt = data.draw(st.integers(0, count - 2))
    dropouts = data.draw(st.integers(0, count - 2 - corrupt))
    plan = neighbourhood(count, degree, corrupt / count, dropouts / count)
    assert plan.threshold == degree // 2 + 1
    exact = exact_bounds(count, degree, plan.threshold, plan.corrupt, plan.dropouts)
    assert (plan.insecurity, plan.failure) == pytest.approx([min(1.0, bound) for bound in exact], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("dropouts", "corrupt", "certain"), [(5, 2, (0, 0)), (6, 2, (0, 1)), (0, 5, (0, 0)), (0, 6, (1, 0))]
)
def test_with_all_pairs_more_than_half_must_stay_and_more_than_half_must_be_corrupt(dropouts, corrupt, certain):
    plan = neighbourhood(11, 10, corrupt / 11, dropouts / 11)
    assert (plan.threshold, plan.corrupt, plan.dropouts) == (6, corrupt, dropouts)
    assert (plan.insecurity, plan.failure) == certain


@pytest.mark.parametrize(("clients", "bound", "degree"), [(8, 0.9, 4), (8, 0.5, 6), (12, 0.1, 10), (9, 0.5, 6)])
def test_a_circle_may_lack_one_neighbour_of_all(clients, bound, degree):
    assert choose_neighbourhood(clients, 0.2, 0.2, insecurity=bound, failure=bound).degree == degree


@pytest.mark.parametrize(("clients", "bound"), [(5, 0.9), (7, 0.3), (9, 0.1), (8, 0.1), (3, 0.9)])
def test_with_all_pairs_nothing_goes_wrong(clients, bound):
    plan = choose_neighbourhood(clients, 0.2, 0.2, insecurity=bound, failure=bound)
    assert (plan.degree, plan.insecurity, plan.failure) == (clients - 1, 0.0, 0.0)


def test_a_degree_is_enough_whose_probabilities_are_just_those_that_may_be():
    plan = choose_neighbourhood(60, 0.05, 0.3, insecurity=0.01, failure=0.1)
    least = {"insecurity": plan.insecurity, "failure": plan.failure}
    assert min(least.values()) > 0
    assert choose_neighbourhood(60, 0.05, 0.3, **least) == plan
    for name, value in least.items():
        assert choose_neighbourhood(60, 0.05, 0.3, **least | {name: nextafter(value, 0)}) != plan


def test_sparse_graphs_grow_slowly():
    degrees = [choose_neighbourhood(n).degree for n in (100, 1000, 10_000, 100_000)]
    assert degrees == sorted(degrees)
    assert degrees[-1] < 400


@pytest.mark.parametrize("degree", [6, 8])
def test_bounds_on_what_goes_wrong_are_bounds(degree):
    """Frequencies over random circles, for a graph far too sparse for the purpose, stay below what is stated."""
    count, trials = 40, 1500
    plan = neighbourhood(count, degree, corrupt_fraction=0.15, dropout_fraction=0.1)
    bad, gone = set(range(plan.corrupt)), set(range(plan.corrupt, plan.corrupt + plan.dropouts))
    insecure = stuck = 0
    for trial in range(trials):
        graph = neighbours(range(count), degree, trial.to_bytes(4, "big"))
        opened = any(len(bad & set(graph[client])) >= plan.threshold for client in set(graph) - bad)
        insecure += opened or not connected(graph, set(graph) - bad - gone)
        stuck += any(len(set(graph[client]) - gone) < plan.threshold for client in graph)
    slack = 4 * (trials * 0.25) ** 0.5  # four standard deviations at most
    assert 0 < insecure <= plan.insecurity * trials + slack < trials
    assert 0 < stuck <= plan.failure * trials + slack < trials


def connected(graph, members):
    reached, edge = set(), [next(iter(members))]
    while edge:
        client = edge.pop()
        if client not in reached:
            reached.add(client)
            edge += [other for other in graph[client] if other in members]
    return reached == members


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((2,), "at least 3"),
        ((10, 0.6, 0.5), "below 1"),
        ((10, -0.1, 0.2), "neither below 0"),
        ((10, float("nan"), 0.2), "corrupt fraction is nan"),
        ((10, 0.2, 0.7), "dropouts"),
    ],
)
def test_impossible_neighbourhoods_are_refused(arguments, said):
    with pytest.raises(BadInput, match=said):
        choose_neighbourhood(*arguments)


@pytest.mark.parametrize("degree", [0, 3, 10, 12])
def test_impossible_degrees_are_refused(degree):
    with pytest.raises(CryptoKeyError, match="an even number below 10"):
        neighbours(range(10), degree, b"")
    with pytest.raises(CryptoKeyError, match="an even number below 10"):
        neighbourhood(10, degree)
