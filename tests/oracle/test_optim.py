"""Optimizers and schedules, step by step beside torch.optim."""

from __future__ import annotations

import numpy as np
import pytest

from fedlearn import nn, optim

torch = pytest.importorskip("torch")

RULES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "amsgrad": True}),
    ("AdamW", {"lr": 0.05}),
    ("RMSprop", {"lr": 0.02}),
    ("RMSprop", {"lr": 0.02, "momentum": 0.9, "centered": True, "weight_decay": 0.01, "alpha": 0.9}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.01, "initial_accumulator_value": 0.2}),
]

SHAPES = [(4, 3), (4,), (2, 4)]


def _pair(dtype):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    return [nn.Parameter(x) for x in arrays], [torch.nn.Parameter(torch.tensor(x)) for x in arrays]


def _step(ours, theirs, optimizers, dtype, seed, skip):
    rng = np.random.default_rng(seed)
    for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
        g = rng.standard_normal(p.shape).astype(dtype)
        p.grad, q.grad = (None, None) if i == skip else (g, torch.tensor(g))
    for optimizer in optimizers:
        optimizer.step()


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-6)])
@pytest.mark.parametrize(("name", "options"), RULES, ids=lambda value: str(value))
def test_every_step(name, options, dtype, tolerance):
    ours, theirs = _pair(dtype)
    optimizers = [getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)]
    for seed in range(12):
        _step(ours, theirs, optimizers, dtype, seed, skip=1 if seed in (0, 5) else None)
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "options"), RULES, ids=lambda value: str(value))
def test_a_state_that_pytorch_saved_is_taken_over(name, options):
    ours, theirs = _pair(np.float64)
    mirror = getattr(torch.optim, name)(theirs, **options)
    warm = getattr(optim, name)(ours, **options)
    for seed in range(3):
        _step(ours, theirs, [warm, mirror], np.float64, seed, skip=None)
    fresh = getattr(optim, name)(ours, **options)
    fresh.load_state_dict(mirror.state_dict())
    for seed in range(3, 6):
        _step(ours, theirs, [fresh, mirror], np.float64, seed, skip=None)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("StepLR", {"step_size": 3, "gamma": 0.3}),
        ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
        ("LinearLR", {"start_factor": 0.2, "total_iters": 4}),
    ],
)
def test_schedules(name, options):
    ours, theirs = _pair(np.float32)
    optimizers = optim.SGD(ours, lr=0.5), torch.optim.SGD(theirs, lr=0.5)
    schedules = [
        getattr(optim.lr_scheduler, name)(optimizers[0], **options),
        getattr(torch.optim.lr_scheduler, name)(optimizers[1], **options),
    ]
    for _ in range(15):
        assert schedules[0].get_last_lr() == pytest.approx(schedules[1].get_last_lr(), rel=1e-9, abs=1e-12)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()


def test_a_warm_up_before_a_cosine():
    def schedule(library, params):
        optimizer = library.SGD(params, lr=0.5)
        parts = [
            library.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=4),
            library.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6),
        ]
        return optimizer, library.lr_scheduler.SequentialLR(optimizer, parts, milestones=[4])

    pairs = [schedule(library, params) for library, params in zip((optim, torch.optim), _pair(np.float32), strict=True)]
    for _ in range(10):
        ours, theirs = (scheduler.get_last_lr() for _, scheduler in pairs)
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)
        for optimizer, scheduler in pairs:
            optimizer.step()
            scheduler.step()


def test_clip_grad_norm():
    ours, theirs = _pair(np.float64)
    for p, q in zip(ours, theirs, strict=True):
        p.grad, q.grad = p.numpy() * 3, q.detach() * 3
    for norm_type in (1.0, 2.0, float("inf")):
        norm = nn.utils.clip_grad_norm_(ours, 0.5, norm_type)
        assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, 0.5, norm_type).item())
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-6)
