import hashlib
import math

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons

from mlprun.parts import initial_parameters
from mlprun.parts.datasets import datasets

Moons = datasets["moons"]
EVERY = pytest.mark.parametrize("arcs", ["exact", "pytorch"])


def course_rows(samples, noise):
    """The course's recipe on torch's global generator, line by line."""
    outer = torch.linspace(0, math.pi, samples // 2)
    inner = torch.linspace(0, math.pi, samples - samples // 2)
    rows = torch.stack(
        [torch.cat([outer.cos(), 1 - inner.cos()]), torch.cat([outer.sin(), 0.5 - inner.sin()])], dim=1
    )
    labels = torch.cat([torch.zeros(len(outer)), torch.ones(len(inner))])
    order = torch.randperm(samples)
    return rows[order] + torch.normal(0.0, noise, rows.shape), labels[order]


@pytest.mark.parametrize(
    ("seed", "samples", "noise"), [(0, 1000, 0.5), (1, 1000, 0.2), (7, 31, 0.1), (3, 5, 2.0)]
)
def test_moons_are_the_rows_that_a_script_with_that_seed_draws(seed, samples, noise):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rows, labels = course_rows(samples, noise)
    data = Moons(seed=seed, samples=samples, noise=noise, arcs="pytorch").load()
    assert data.inputs.tobytes() == rows.numpy().tobytes()
    assert data.targets.tolist() == labels.tolist()


def test_the_course_figures_follow_from_these_rows():
    # train loss before the first step of a 2-5-1 network, drawn after the data from the same generator; a CPU
    # without AVX2 draws float32 numbers that differ in the last digit
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        course_rows(1000, 0.5)
        hidden, output = torch.normal(0, 1, (2, 5)).double(), torch.normal(0, 1, (5, 1)).double()
    data = Moons(noise=0.5, seed=0, arcs="pytorch").load()
    rows, labels = torch.tensor(data.inputs[:640]).double(), torch.tensor(data.targets[:640, None]).double()
    chance = torch.sigmoid(torch.sigmoid(rows @ hidden) @ output)
    loss = torch.nn.functional.binary_cross_entropy(chance, labels)
    assert loss.item() == pytest.approx(0.8590022433344402, abs=1e-8)


@EVERY
def test_moons_leave_the_global_generator_and_defaults_alone(arcs):
    before = torch.random.get_rng_state()
    expected = Moons(samples=20, arcs=arcs).load()
    assert torch.equal(torch.random.get_rng_state(), before)
    try:
        torch.set_default_dtype(torch.float64)
        assert Moons(samples=20, arcs=arcs).load().inputs.tobytes() == expected.inputs.tobytes()
    finally:
        torch.set_default_dtype(torch.float32)


@EVERY
@pytest.mark.parametrize("samples", [1, 2, 9, 10])
def test_moons_without_noise_are_the_arcs_of_scikit_learn(samples, arcs):
    data = Moons(samples=samples, noise=0.0, arcs=arcs).load()
    rows, labels = make_moons(samples, shuffle=False)
    apart = np.linalg.norm(data.inputs[:, None] - rows[None], axis=2)
    apart[data.targets[:, None] != labels[None]] = np.inf
    # each of ours is one of theirs and the other way round, class by class
    assert apart.min(axis=0).max() < 1e-6
    assert apart.min(axis=1).max() < 1e-6


@pytest.mark.parametrize("samples", [1, 7, 999, 1000])
def test_exact_arcs_are_rounded_once(samples):
    counts = samples // 2, samples - samples // 2
    outer, inner = ([math.pi * k / max(count - 1, 1) for k in range(count)] for count in counts)
    arcs = [(math.cos(angle), math.sin(angle)) for angle in outer]
    arcs += [(1 - math.cos(angle), 0.5 - math.sin(angle)) for angle in inner]
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(0))
    inputs = Moons(samples=samples, noise=0.0).load().inputs
    distances = np.abs(inputs.astype(np.float64) - np.array(arcs)[order])
    assert (distances <= np.spacing(np.abs(inputs)) / 2 + 1e-15).all()


def test_exact_arcs_are_the_same_on_every_platform():
    inputs = Moons(samples=1000, noise=0.0).load().inputs
    assert hashlib.sha256(inputs.tobytes()).hexdigest() == (
        "03e851242762987d8e023a82b46cd33a1a58e37b3f782ea53b21c6eac2d327c7"
    )


@EVERY
@pytest.mark.parametrize("noise", [0.0, 0.2, 3.5, 1e-20])
def test_draws_without_torch_have_the_bits_of_its_draws(noise, arcs, monkeypatch):
    def drawn():
        for samples in (1, 2, 7, 8, 9, 1000):
            moons = Moons(samples=samples, noise=noise, arcs=arcs, seed=samples)
            for data in (moons.load(), moons.fresh(samples, epoch=2, step=5)):
                yield data.inputs.tobytes(), data.targets.tobytes()

    if not initial_parameters.matches_torch():
        pytest.skip("draws are torch's on this machine")
    without = list(drawn())
    monkeypatch.setattr(initial_parameters, "matches_torch", lambda: False)
    assert without == list(drawn())


def test_fresh_moons_have_the_given_noise():
    moons = Moons(noise=0.1)
    data = moons.fresh(4000, epoch=5, step=0)
    outer = data.inputs[data.targets == 0]
    away = np.hypot(*outer[outer[:, 1] > 0.3].T) - 1
    assert away.std() == pytest.approx(0.1, rel=0.05)
