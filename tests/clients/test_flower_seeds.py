"""PyTorch's global generator and threads in the bridge to Flower, whose own environment has no PyTorch."""

from __future__ import annotations

import pytest

from clients.flower.seeds import kept, one_thread, seed_all

torch = pytest.importorskip("torch")


def test_pytorchs_generator_is_seeded_and_afterwards_what_it_was():
    before = torch.get_rng_state()
    with kept():
        seed_all(5, 1, 0)
        first = torch.rand(1)
        seed_all(5, 1, 1)
        assert torch.rand(1) != first
        seed_all(5, 1, 0)
        assert torch.rand(1) == first
    assert torch.equal(torch.get_rng_state(), before)


def test_pytorch_has_one_thread_meanwhile():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
