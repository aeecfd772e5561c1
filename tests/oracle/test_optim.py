"""Optimizers and schedules, step by step beside torch.optim."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from fedlearn import nn, optim
from fedlearn.errors import BadInput, ShapeError

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
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.01, "initial_accumulator_value": 0.2, "eps": 1e-6}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "maximize": True, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.05, "maximize": True, "decoupled_weight_decay": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1, "amsgrad": True, "maximize": True}),
    ("NAdam", {}),
    ("NAdam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1, "momentum_decay": 0.1}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RMSprop", {"lr": 0.02, "eps": 1e-6, "maximize": True}),
    ("Adagrad", {"lr": 0.1, "maximize": True}),
]

ROUGH = {"NAdam": 2e-6}  # PyTorch keeps its product of momenta in float32
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
            limit = max(tolerance, ROUGH.get(name, 0))
            np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=limit, atol=limit)


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
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=max(1e-12, ROUGH.get(name, 0)))


def _slower(step):
    return 1 / (step + 1)


SCHEDULES = [
    ("StepLR", {"step_size": 3, "gamma": 0.3}),
    ("MultiStepLR", {"milestones": [2, 5, 5, 9], "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.8}),
    ("ConstantLR", {"factor": 0.25, "total_iters": 4}),
    ("LinearLR", {"start_factor": 0.2, "total_iters": 4}),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 7}),
    ("PolynomialLR", {"total_iters": 8, "power": 1.5}),
    ("CosineAnnealingLR", {"T_max": 7, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    ("CosineAnnealingWarmRestarts", {"T_0": 4}),
    ("LambdaLR", {"lr_lambda": _slower}),
    ("LambdaLR", {"lr_lambda": [_slower]}),
    ("OneCycleLR", {"max_lr": 0.7, "total_steps": 20}),
    ("OneCycleLR", {"max_lr": [0.7], "epochs": 5, "steps_per_epoch": 4, "anneal_strategy": "linear", "pct_start": 0.4}),
    ("OneCycleLR", {"max_lr": 0.7, "total_steps": 20, "three_phase": True, "div_factor": 5, "final_div_factor": 10.0}),
    ("OneCycleLR", {"max_lr": 0.7, "total_steps": 20, "cycle_momentum": False}),
    ("OneCycleLR", {"max_lr": 0.7, "total_steps": 20, "base_momentum": 0.1, "max_momentum": [0.3]}),
]


def _schedules(name, options, **rule):
    """An optimizer of ours and one of PyTorch's, each with its schedule."""
    optimizers = [
        library.SGD(params, **{"lr": 0.5, "momentum": 0.9, **rule})
        for library, params in zip((optim, torch.optim), _pair(np.float32), strict=True)
    ]
    made = [
        getattr(library.lr_scheduler, name)(optimizer, **options)
        for library, optimizer in zip((optim, torch.optim), optimizers, strict=True)
    ]
    return optimizers, made


def _same_rates(optimizers, schedules):
    ours, theirs = (optimizer.param_groups[0] for optimizer in optimizers)
    assert ours["lr"] == pytest.approx(float(theirs["lr"]), rel=1e-9, abs=1e-12)
    assert ours["momentum"] == pytest.approx(theirs["momentum"], rel=1e-9)
    assert schedules[0].get_last_lr() == pytest.approx([float(rate) for rate in schedules[1].get_last_lr()], abs=1e-12)


def _go_on(optimizers, schedules, *given):
    for optimizer, schedule in zip(optimizers, schedules, strict=True):
        optimizer.step()
        schedule.step(*given)


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(SCHEDULES)])
def test_schedules(name, options):
    optimizers, schedules = _schedules(name, options)
    for _ in range(19):
        _same_rates(optimizers, schedules)
        _go_on(optimizers, schedules)


def test_every_argument_of_every_schedule_has_a_case():
    elsewhere = {"LRScheduler", "SequentialLR", "ReduceLROnPlateau"}
    assert {name for name, _ in SCHEDULES} == set(optim.lr_scheduler.__all__) - elsewhere
    for name in {name for name, _ in SCHEDULES}:
        parameters = set(inspect.signature(getattr(optim.lr_scheduler, name)).parameters)
        assert parameters == set(inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters)
        given = {argument for other, options in SCHEDULES if other == name for argument in options}
        assert given | {"optimizer", "last_epoch"} == parameters, name


def test_every_argument_of_every_optimizer_has_a_case():
    ours_alone, theirs_alone = (
        {"Yogi", "Optimizer", "lr_scheduler"},
        {"foreach", "capturable", "differentiable", "fused"},
    )
    assert {name for name, _ in RULES} == set(optim.__all__) - ours_alone
    for name in {name for name, _ in RULES}:
        parameters = list(inspect.signature(getattr(optim, name)).parameters)
        theirs = [p for p in inspect.signature(getattr(torch.optim, name)).parameters if p not in theirs_alone]
        assert set(parameters) == set(theirs), name
        given = {argument for other, options in RULES if other == name for argument in options}
        assert given | {"params"} == set(parameters), name


CHAINS = [
    [("LinearLR", {"start_factor": 0.5, "total_iters": 4}), ("StepLR", {"step_size": 5})],
    [("StepLR", {"step_size": 2, "gamma": 0.5}), ("ExponentialLR", {"gamma": 0.9}), ("ConstantLR", {"total_iters": 3})],
    [("CosineAnnealingLR", {"T_max": 4}), ("MultiStepLR", {"milestones": [3, 6]})],
    [("PolynomialLR", {"total_iters": 6}), ("LinearLR", {"total_iters": 2})],
]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda value: "+".join(name for name, _ in value))
def test_schedules_on_one_optimizer_multiply(chain):
    optimizers = [
        library.SGD(params, lr=0.1) for library, params in zip((optim, torch.optim), _pair(np.float32), strict=True)
    ]
    for name, options in chain:
        for library, optimizer in zip((optim, torch.optim), optimizers, strict=True):
            schedule = getattr(library.lr_scheduler, name)(optimizer, **options)
            optimizer.schedules = [*getattr(optimizer, "schedules", []), schedule]
    for _ in range(12):
        rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
        assert rates[0] == pytest.approx(rates[1], rel=1e-9, abs=1e-12)
        for optimizer in optimizers:
            optimizer.step()
            for schedule in optimizer.schedules:
                schedule.step()


@pytest.mark.parametrize(("name", "options"), [SCHEDULES[i] for i in (0, 1, 2, 3, 4, 6)], ids=lambda value: str(value))
def test_a_rate_set_by_hand_is_gone_on_from(name, options):
    optimizers, schedules = _schedules(name, options)
    for step in range(10):
        if step == 3:
            for optimizer in optimizers:
                optimizer.param_groups[0]["lr"] = 0.7
        assert optimizers[0].param_groups[0]["lr"] == pytest.approx(optimizers[1].param_groups[0]["lr"], rel=1e-9)
        _go_on(optimizers, schedules)


@pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(SCHEDULES)])
def test_a_saved_optimizer_and_schedule_go_on_where_they_were(name, options):
    optimizers, schedules = _schedules(name, options)
    for _ in range(4):
        _go_on(optimizers, schedules)
    (fresh, _), (schedule, _) = _schedules(name, options, lr=0.001)
    fresh.load_state_dict(optimizers[0].state_dict())
    schedule.load_state_dict(schedules[0].state_dict())
    resumed = [fresh, optimizers[1]], [schedule, schedules[1]]
    for _ in range(5):
        _same_rates(*resumed)
        _go_on(*resumed)


def test_a_schedule_made_after_loading_has_the_rate_that_training_began_with():
    states = []
    for library, params in zip((optim, torch.optim), _pair(np.float32), strict=True):
        first = library.SGD(params, lr=0.1)
        library.lr_scheduler.StepLR(first, 1, 0.1)
        first.param_groups[0]["lr"] = 0.001
        second = library.SGD(params, lr=0.5)
        second.load_state_dict(first.state_dict())
        schedule = library.lr_scheduler.StepLR(second, 2, 0.1, last_epoch=0)
        states.append([*schedule.base_lrs, second.param_groups[0]["lr"]])
    assert states[0] == pytest.approx(states[1])


PLATEAUS = [
    {"patience": 1},
    {"mode": "max", "factor": 0.5, "patience": 0, "threshold": 0.1, "threshold_mode": "abs", "cooldown": 1},
    {"mode": "max", "patience": 1, "threshold": 0.2},
    {"threshold_mode": "abs", "patience": 1, "min_lr": [0.02], "eps": 1e-3},
]


@pytest.mark.parametrize("options", PLATEAUS, ids=lambda value: str(value))
def test_a_rate_that_falls_when_nothing_gets_better(options):
    optimizers, schedules = _schedules("ReduceLROnPlateau", options)
    numbers = [1.0, 0.9, 0.95, float("nan"), 0.9, 0.5, 0.6, 0.6, 0.6, 2.0, 2.1, 2.0, 2.0, 2.0, 2.0]
    for number in numbers:
        _go_on(optimizers, schedules, number)
        assert optimizers[0].param_groups[0]["lr"] == pytest.approx(optimizers[1].param_groups[0]["lr"], rel=1e-12)
    other = optim.lr_scheduler.ReduceLROnPlateau(optimizers[0], **options)
    for state in (schedules[1].state_dict(), schedules[0].state_dict()):
        other.load_state_dict(state)
        assert other.state_dict() == schedules[0].state_dict()


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
    for norm_type in (1.0, 2.0, 3.5, float("inf"), "inf"):
        norm = nn.utils.clip_grad_norm_(ours, 0.5, norm_type)
        assert norm == pytest.approx(torch.nn.utils.clip_grad_norm_(theirs, 0.5, norm_type).item())
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-6)


def test_clipping_what_is_not_finite_and_single_numbers():
    ours, theirs = _pair(np.float64)
    for p, q in zip(ours, theirs, strict=True):
        p.grad, q.grad = p.numpy() * 3, q.detach() * 3
    nn.utils.clip_grad_value_(ours, 0.7)
    torch.nn.utils.clip_grad_value_(theirs, 0.7)
    ours[0].grad[0, 0] = theirs[0].grad[0, 0] = np.inf
    with pytest.raises(BadInput, match="inf"):
        nn.utils.clip_grad_norm_(ours, 1.0)
    assert nn.utils.clip_grad_norm_(ours, 1.0, error_if_nonfinite=False) == np.inf
    torch.nn.utils.clip_grad_norm_(theirs, 1.0)
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy())


def test_parameters_as_one_vector():
    ours, theirs = _pair(np.float64)
    whole = nn.utils.parameters_to_vector(ours)
    np.testing.assert_array_equal(whole.numpy(), torch.nn.utils.parameters_to_vector(theirs).detach().numpy())
    (whole * whole).sum().backward()
    np.testing.assert_allclose(ours[1].grad.numpy(), 2 * ours[1].numpy())
    nn.utils.vector_to_parameters(np.arange(24.0), ours)
    assert ours[2].numpy().tolist() == [[16, 17, 18, 19], [20, 21, 22, 23]]
    with pytest.raises(ShapeError, match="24 numbers"):
        nn.utils.vector_to_parameters(np.zeros(3), ours)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "RMSprop"])
def test_momenta_that_a_schedule_changes_go_on_from_saved_states(name):
    options = {"lr": 0.05, **({"momentum": 0.9} if name in ("SGD", "RMSprop") else {})}
    cycle = {"max_lr": 0.1, "total_steps": 16}
    ours, theirs = _pair(np.float64)

    def made(library, params):
        optimizer = getattr(library, name)(params, **options)
        return optimizer, library.lr_scheduler.OneCycleLR(optimizer, **cycle)

    (optimizer, schedule), (mirror, other) = made(optim, ours), made(torch.optim, theirs)
    for seed in range(15):
        if seed == 7:
            saved = optimizer.state_dict(), schedule.state_dict()
            optimizer, schedule = made(optim, ours)
            optimizer.load_state_dict(saved[0])
            schedule.load_state_dict(saved[1])
        _step(ours, theirs, [optimizer, mirror], np.float64, seed, skip=None)
        schedule.step()
        other.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=1e-5 if name == "NAdam" else 1e-12)


def test_pytorch_takes_over_the_state_of_nadam():
    ours, theirs = _pair(np.float64)
    warm, mirror = optim.NAdam(ours, lr=0.05), torch.optim.NAdam(theirs, lr=0.05)
    for seed in range(3):
        _step(ours, theirs, [warm, mirror], np.float64, seed, skip=None)
    state, want = warm.state_dict()["state"][0], mirror.state_dict()["state"][0]
    assert set(state) == set(want)
    assert state["mu_product"] == pytest.approx(float(want["mu_product"]), rel=1e-6)
