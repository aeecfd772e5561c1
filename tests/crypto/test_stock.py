from __future__ import annotations

import multiprocessing
import pickle
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fedlearn.crypto import FixedPoint, randomisers
from fedlearn.crypto.randomisers import DjnRandomiser, default_randomiser
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


def in_a_fork(work):
    """What `work()` gives in a forked child, which is ended after ten seconds."""
    receiver, sender = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=lambda: sender.send(work()))
    child.start()
    sender.close()  # so that a child that dies ends the wait
    try:
        assert receiver.poll(10), "the child hangs"
        return receiver.recv()
    finally:
        child.kill()
        child.join()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_no_copy_to_use_again(stock):
    stock.fill(4)
    length, theirs = in_a_fork(lambda: (len(stock), stock.factors(4)))
    assert length == 0
    assert len(set(theirs)) == 4
    assert not set(theirs) & set(stock.factors(4))


class SlowList(list):
    """Factors that are a while in coming, with the stock's lock held."""

    def __init__(self, started, go_on):
        super().__init__()
        self._started, self._go_on = started, go_on

    def __iter__(self):
        self._started.set()
        self._go_on.wait(30)
        return iter([7])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_holds_the_lock_does_not_hang_the_child(toy):
    class Source:
        public = toy[0]
        slow = SlowList(threading.Event(), threading.Event())

        def factors(self, count):
            return self.slow if count == 77 else [1] * count

    stock, slow = Stock(Source()), Source.slow
    filling = threading.Thread(target=stock.fill, args=(77,))
    filling.start()
    assert slow._started.wait(30)
    try:
        assert in_a_fork(lambda: (stock.factors(2), len(stock), stock.fill(3), len(stock))) == ([1, 1], 0, None, 3)
    finally:
        slow._go_on.set()
        filling.join()
    assert stock.factors(1) == [7]  # the parent's own factor is still there


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_another_thread_makes_the_shared_table_does_not_hang_the_child(other_toy):
    with randomisers._shared._lock:
        assert len(in_a_fork(lambda: default_randomiser(other_toy[0], 3).factors(3))) == 3


TWO_NAMESPACES = """
import ctypes, os
from fedlearn.crypto import generate_keypair
from fedlearn.crypto.randomisers import OrdinaryRandomiser
from fedlearn.crypto.stock import Stock

stock = Stock(OrdinaryRandomiser(generate_keypair(64, insecure_test_key=True)[0]))
stock.fill(3)
assert os.getpid() == 1
assert ctypes.CDLL(None).unshare(0x20000000) == 0  # CLONE_NEWPID: children live in a namespace of their own
child = os.fork()
if child == 0:
    assert os.getpid() == 1, "the child's number does not repeat"
    os._exit(len(stock))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(stock))
"""
UNSHARE = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]


def test_a_child_with_the_number_of_its_parent_finds_the_stock_empty():
    """In another PID namespace, where `os.getpid()` repeats."""
    if shutil.which("unshare") is None or subprocess.run([*UNSHARE, "true"], capture_output=True).returncode:
        pytest.skip("this system does not let its users make PID namespaces (unshare --user --pid)")
    done = subprocess.run([*UNSHARE, sys.executable, "-c", TWO_NAMESPACES], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["0", "3"], done.stderr


def test_a_stock_is_not_pickled(stock):
    with pytest.raises(TypeError, match="second time"):
        pickle.dumps(stock)
