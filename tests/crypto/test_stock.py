from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fedlearn.crypto import FixedPoint
from fedlearn.crypto.randomisers import DjnRandomiser
from fedlearn.crypto.stock import Stock


@pytest.fixture
def stock(toy):
    return Stock(DjnRandomiser(toy[0], expected=500))


def test_a_stock_encrypts_and_runs_down(toy, stock):
    public, private = toy
    codec = FixedPoint(16, 1.0, 4)
    values = np.arange(-100, 100)
    stock.fill(10)
    vector = public.encrypt(values, codec, stock)
    np.testing.assert_array_equal(private.decrypt(vector), values)
    assert len(stock) == 10 - len(vector.ciphertexts)


def test_every_factor_is_handed_out_once_under_many_threads(stock):
    """Filling and taking at the same time, beyond what is ready."""
    with ThreadPoolExecutor(8) as pool:
        fills = [pool.submit(stock.fill, 25) for _ in range(8)]
        takes = [pool.submit(stock.factors, 7) for _ in range(60)]
        for job in fills:
            job.result()
        taken = [factor for job in takes for factor in job.result()]
    rest = stock.factors(len(stock))
    assert len(taken) == 420
    assert len(set(taken + rest)) == len(taken) + len(rest)
    assert len(stock) == 0


def test_an_empty_stock_falls_back_to_its_source(stock):
    assert len(set(stock.factors(5))) == 5
    assert stock.factors(0) == []


def _take_in_child(stock, pipe):
    pipe.send((len(stock), stock.factors(4)))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_no_copy_to_use_again(stock):
    stock.fill(4)
    receiver, sender = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_take_in_child, args=(stock, sender))
    child.start()
    sender.close()  # so that a child that dies ends the wait
    length, theirs = receiver.recv()
    child.join()
    assert length == 0
    assert not set(theirs) & set(stock.factors(4))


def test_a_stock_is_not_pickled(stock):
    with pytest.raises(TypeError, match="second time"):
        pickle.dumps(stock)
