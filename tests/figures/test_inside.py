"""What figures show of the inside of networks, against torch's modules and autograd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import mlprun.api as mlprun
from mlprun import figures
from mlprun.figures.chart import HeatMap, Line, Points, Region, Segments
from mlprun.figures.landscape import GRID, Path, filter_normalized, train_loss
from mlprun.figures.units import dead_units, gradients, hidden_outputs

if TYPE_CHECKING:
    from pathlib import Path

    from mlprun.figures import Chart, RunData

CONFIG: dict[str, Any] = {
    "name": "deep",
    "dataset": {"name": "moons", "noise": 0.2, "split": {"train": 60, "dev": 20, "test": 20}},
    "architecture": {
        "layers": [
            {"units": 5, "activation": "tanh"},
            {"units": 4, "activation": "relu", "bias": False},
            {"units": 3, "activation": ["tanh", "gelu"]},
        ]
    },
    "penalty": {"l2": 1e-2},
    "optimizer": {"name": "adam", "lr": 0.05},
    "training": {"epochs": 6, "batch_size": 16, "dtype": "float64"},
    "snapshots": [2, 4],
}


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return mlprun.train(CONFIG, out=str(tmp_path_factory.mktemp("deep"))).figure_data


def computed(kind: str, data: RunData, **options: Any) -> Chart:
    return figures.compute(kind, data, **options)


def of_torch(data: RunData, epoch: int, rows: np.ndarray) -> list[np.ndarray]:
    """What torch's modules pass on after each activation."""
    found: list[np.ndarray] = []
    network = data.trained.alone.filled_network(data.models[epoch])
    handles = [
        one.register_forward_hook(lambda _module, _inputs, output: found.append(output.numpy()))
        for one in network.get_submodule("activations").children()
    ]
    with torch.no_grad():
        network(torch.from_numpy(rows))
    for handle in handles:
        handle.remove()
    return found


def test_activations_of_hidden_units_are_torchs(deep: RunData, run_data: dict[str, RunData]) -> None:
    for data in (deep, *(run_data[name] for name in ("moons", "odd", "two_targets"))):
        rows = data.rows("train").inputs
        ours = hidden_outputs(data, data.models[data.last], rows)
        theirs = of_torch(data, data.last, rows)
        assert ours
        for name, one in ours.items():
            np.testing.assert_allclose(one, theirs[int(name.removeprefix("layers."))], rtol=1e-5, atol=1e-6)


def test_class_weights_are_of_outputs_not_of_hidden_units(tmp_path: Path) -> None:
    loss = {"name": "cross_entropy", "class_weights": [1, 3]}
    for engine in ("fused", "torch"):
        data = mlprun.train({**CONFIG, "loss": loss, "engine": engine}, out=str(tmp_path)).figure_data
        rows = data.rows("train").inputs
        for one, theirs in zip(
            hidden_outputs(data, data.models[6], rows).values(), of_torch(data, 6, rows), strict=False
        ):
            np.testing.assert_allclose(one, theirs, rtol=1e-5, atol=1e-6)


def test_a_map_is_a_units_activation_all_over_the_plane(deep: RunData) -> None:
    chart = computed("units", deep)
    assert [panel.title for panel in chart.panels][:6] == ["0.0", "0.1", "0.2", "0.3", "0.4", "1.0"]
    maps = chart.marks(HeatMap)
    (left, right), (bottom, top) = chart.panels[0].x.limits, chart.panels[0].y.limits  # type: ignore[misc]
    xs, ys = np.linspace(left, right, 60), np.linspace(bottom, top, 60)  # type: ignore[call-overload]
    grid = np.array([[x, y] for y in ys for x in xs])
    expected = np.concatenate(of_torch(deep, deep.best_or_last, grid)[:2], axis=1)
    for cells, values in zip(maps, expected.T, strict=True):
        np.testing.assert_allclose(cells.values.ravel(), values / np.abs(values).max(), atol=1e-9)
    with torch.no_grad():
        outputs = deep.trained.alone.filled_network(deep.models[deep.best_or_last])(
            torch.from_numpy(grid)
        ).numpy()
    np.testing.assert_allclose(chart.marks(Region)[0].values.ravel(), outputs[:, 0], atol=1e-9)


def test_a_unit_is_dead_where_it_answers_alike_to_all_rows() -> None:
    values = np.array([[0.0, 1.0, 2.0, 0.0], [0.0, 1.0, 2.1, 0.0], [0.0, 1.0, 2.0, 1e-9]])
    assert dead_units(values).tolist() == [True, True, False, False]


def test_lines_of_the_network_are_its_weights(run_data: dict[str, RunData]) -> None:
    data = run_data["moons"]
    chart = computed("network", data)
    state = data.trained.alone.filled_network(data.models[data.best_or_last]).state_dict()
    weights = np.concatenate([state[f"layers.{k}.weight"].numpy().ravel() for k in range(2)])
    lines = {
        label: [mark for mark in chart.marks(Segments) if mark.label.startswith(label)] for label in "np"
    }
    negative, positive = (sum(len(mark.x0) for mark in some) for some in lines.values())
    assert (negative, positive) == (np.sum(weights < 0), np.sum(weights > 0))
    widths = np.concatenate([mark.width for mark in chart.marks(Segments)])
    np.testing.assert_allclose(np.sort(widths), np.sort(0.1 + 4.4 * np.abs(weights) / np.abs(weights).max()))
    first = next(mark for mark in chart.marks(Segments) if 0.0 in mark.x0 and len(mark.x0))
    column = first.x0 == 0.0  # from one of two inputs to one of four units
    assert set(first.y0[column]) <= {0.75, 0.25}
    assert set(first.y1[column]) <= {0.875, 0.625, 0.375, 0.125}
    hidden = chart.marks(Points)[1]
    np.testing.assert_array_equal(hidden.values, state["layers.0.bias"].numpy())
    assert chart.panels[0].x.tick_labels == ("2 inputs", "4 tanh", "1 logistic")


def test_gradients_are_those_of_autograd_over_all_train_rows(tmp_path: Any) -> None:
    config = {key: value for key, value in CONFIG.items() if key not in ("architecture", "snapshots")}
    architecture = {"hidden": [5, 4], "activation": "relu"}
    data = mlprun.train({**config, "architecture": architecture}, out=str(tmp_path)).figure_data
    rows, epoch = data.rows("train"), data.last
    network = data.trained.alone.filled_network(data.models[epoch]).train()
    outputs = network(torch.from_numpy(rows.inputs))
    loss = torch.nn.functional.binary_cross_entropy(outputs, torch.from_numpy(rows.targets))
    (loss + 1e-2 * sum((weight**2).sum() for weight in network.weights())).backward()
    expected = {}
    for layer in ("layers.0", "layers.1", "layers.2"):
        both = [network.get_parameter(f"{layer}.{kind}").grad for kind in ("weight", "bias")]
        expected[layer] = float(
            torch.cat([one.ravel() for one in both if one is not None]).square().mean().sqrt()
        )
    assert gradients(data, epoch, data.models[epoch]) == pytest.approx(expected, rel=1e-9)
    chart = computed("gradients", data)
    lines = {mark.label: mark for mark in chart.panels[0].marks if isinstance(mark, Line)}
    assert {label: line.y[-1] for label, line in lines.items()} == pytest.approx(expected, rel=1e-9)
    epochs = np.array(list(data.snapshots), float)
    assert np.array_equal(lines["layers.0"].x[1:], epochs[1:])
    assert (epochs[0], lines["layers.0"].x[0]) == (0, 0.5)  # where a logarithmic axis has room for 0


def test_random_directions_are_as_long_as_the_weights_into_each_unit(deep: RunData) -> None:
    model = deep.models[deep.last]
    found = filter_normalized(model, np.random.default_rng(0))
    assert set(found) == {f"layers.{k}.weight" for k in range(4)}
    for name, direction in found.items():
        lengths = [np.linalg.norm(one, axis=1) for one in (direction, model[name])]
        np.testing.assert_allclose(*lengths)
        cosines = (direction * model[name]).sum(axis=1) / lengths[0] ** 2
        assert (np.abs(cosines) < 0.999).all()


def test_a_surface_is_the_loss_of_the_moved_weights(deep: RunData) -> None:
    chart = computed("landscape", deep, seed=3)
    model, draw = deep.models[deep.best_or_last], np.random.default_rng(3)
    pair = [filter_normalized(model, draw) for _ in range(2)]
    network, rows = deep.experiment.filled_network(model), deep.rows("train")
    surface = chart.marks(HeatMap)[0].values
    assert surface.shape == (GRID, GRID)
    for row, column in ((0, 0), (15, 15), (7, 28)):
        moved = dict(network.state_dict())
        for name in pair[0]:
            step = (column / 15 - 1) * pair[0][name] + (row / 15 - 1) * pair[1][name]
            moved[name] = torch.from_numpy(model[name] + step)
        with torch.no_grad():
            outputs = torch.func.functional_call(network, moved, torch.from_numpy(rows.inputs))
            loss = torch.nn.functional.binary_cross_entropy(outputs, torch.from_numpy(rows.targets))
        assert surface[row, column] == pytest.approx(loss.item(), rel=1e-9)
    assert train_loss(deep)(model) == pytest.approx(surface[15, 15])


def test_the_path_of_training_is_that_of_a_principal_component_analysis() -> None:
    draw = np.random.default_rng(6)
    models = {epoch: {"w": draw.normal(size=(3, 4)), "b": draw.normal(size=3)} for epoch in (0, 1, 5, 9)}
    path = Path(models)
    flat = np.array([np.concatenate([one["w"].ravel(), one["b"]]) for one in models.values()])
    apart = flat - flat[-1]
    values, vectors = np.linalg.eigh(apart.T @ apart)
    np.testing.assert_allclose(path.shares, values[::-1][:2] / values.sum())
    np.testing.assert_allclose(np.abs(path.places), np.abs(apart @ vectors[:, ::-1][:, :2]), atol=1e-12)
    for k, places in enumerate(path.places[:1].T):
        rebuilt = np.concatenate([path.directions[k]["w"].ravel(), path.directions[k]["b"]])
        assert apart[0] @ rebuilt == pytest.approx(places[0])
        assert places[0] >= 0


def test_the_drawing_says_which_layers_add_their_input(tmp_path: Any) -> None:
    architecture = {"hidden": [3, 3], "activation": "tanh", "residual": True}
    run = mlprun.train(
        {"dataset": "xor", "architecture": architecture, "training": {"epochs": 1}}, out=str(tmp_path)
    )
    chart = computed("network", run.figure_data)
    assert chart.panels[0].x.tick_labels == ("2 inputs", "3 tanh", "3 tanh + input", "1 logistic")
    np.testing.assert_allclose(
        hidden_outputs(run.figure_data, run.last.model, run.figure_data.rows("train").inputs)["layers.1"],
        np.tanh(_before(run)),
        rtol=1e-5,
    )


def _before(run: mlprun.Run) -> Any:
    """What the second layer activates."""
    model, rows = run.last.model, run.figure_data.rows("train").inputs
    first = np.tanh(rows @ model["layers.0.weight"].T + model["layers.0.bias"])
    return first @ model["layers.1.weight"].T + model["layers.1.bias"]
