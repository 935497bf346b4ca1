"""Every control of the playground, operated in a real browser."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import safetensors.numpy

import mlprun
from mlprun import api
from mlprun.experiment import Experiment
from mlprun.figures import RunData
from mlprun.report.playground import play_section, playground_section
from mlprun.storage.runs import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable

    Open = Callable[..., Any]

AXE = os.environ.get("AXE_CORE", "")
"""the path of axe-core's axe.min.js"""
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def moons(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """A run with four snapshots."""
    config = {
        "name": "moons",
        "dataset": {"name": "moons", "split": {"train": 60, "dev": 20, "test": 20}},
        "architecture": {"hidden": [6, 4], "activation": "tanh"},
        "loss": "bce",
        "optimizer": {"name": "adam", "lr": 0.03},
        "training": {"epochs": 60, "dtype": "float64"},
        "snapshots": [0, 10, 30],
    }
    return RunData.of(RunFolder(mlprun.train(config, out=str(tmp_path_factory.mktemp("runs"))).path))


def js(page: Any, expression: str) -> Any:
    """A value of the page's playground, which `p` stands for."""
    return page.evaluate(f"(() => {{ const p = globalThis.playground; return {expression}; }})()")


def wait(page: Any, expression: str) -> None:
    """Wait until an expression holds; the page's policy forbids playwright to evaluate it there."""
    for _ in range(600):
        if js(page, expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def weights(page: Any) -> Any:
    return np.array(js(page, "p.training.network.layers.flatMap((layer) => Array.from(layer.weight))"))


def set_value(page: Any, name: str, value: object) -> None:
    """Type into a number or move a slider, as a user's change is reported to the page."""
    control = page.locator(f"#control-{name}")
    control.evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input'));"
        " input.dispatchEvent(new Event('change')); }",
        str(value),
    )


def download(page: Any, button: str) -> tuple[str, bytes]:
    with page.expect_download() as started:
        page.get_by_role("button", name=button).click()
    return started.value.suggested_filename, Path(started.value.path()).read_bytes()


def columns(page: Any, setting: str) -> Any:
    return js(page, f"p.settings.{setting}")


# --- training


def test_play_trains_and_pause_stops(opened: Open) -> None:
    with opened(play_section(None)) as page:
        before = js(page, "p.training.results.train.loss")
        page.get_by_role("button", name="Train").click()
        wait(page, "p.training.steps > 200")
        page.get_by_role("button", name="Pause").click()
        steps = js(page, "p.training.steps")
        assert js(page, "p.training.results.train.loss") < before
        page.wait_for_timeout(60)
        assert js(page, "p.training.steps") == steps
        assert page.locator(".chart path").count() == 2
        page.get_by_role("button", name="Reset").click()
        assert js(page, "[p.training.steps, p.training.results.train.loss]") == [0, before]


def test_step_trains_one_batch_and_the_speed_says_how_many_a_frame(opened: Open) -> None:
    with opened(play_section(None)) as page:
        page.get_by_role("button", name="Step", exact=True).click()
        assert js(page, "p.training.steps") == 1
        js(page, "p.training.advance('full', 12)")
        assert js(page, "p.training.steps") > 6
        page.select_option("#control-speed", "frame")
        before = js(page, "p.training.steps")
        js(page, "p.training.advance(p.settings.speed, 0)")
        assert js(page, "p.training.steps") == before + 1


def test_settings_of_the_training_take_effect_at_the_next_step(opened: Open) -> None:
    with opened(play_section(None)) as page:
        start = weights(page)
        set_value(page, "lr", 0)
        page.select_option("#control-optimizer", "sgd")
        page.get_by_role("button", name="Step", exact=True).click()
        assert np.array_equal(weights(page), start)
        set_value(page, "lr", 0.5)
        page.select_option("#control-batch", "full")
        assert js(page, "p.training.batchSize") == 280
        set_value(page, "l2", 1)
        page.get_by_role("button", name="Step", exact=True).click()
        assert np.abs(weights(page)).sum() < 0.2 * np.abs(start).sum()
        set_value(page, "l1", 0.1)
        set_value(page, "dropout", 0.5)
        assert js(page, "p.training.network.layers.map((layer) => layer.dropout)") == [0.5, 0.5, 0]
        page.select_option("#control-activation", "relu")
        names = "p.training.network.layers.map((layer) => layer.activation.name)"
        assert js(page, names) == ["relu", "relu", "identity"]
        page.get_by_label("Activation of layer 2").select_option("swish")
        assert js(page, names) == ["relu", "swish", "identity"]
        assert page.locator("#control-activation").input_value() == ""


def test_the_seed_draws_other_weights_and_the_loss_another_network(opened: Open) -> None:
    with opened(play_section(None)) as page:
        start = weights(page)
        set_value(page, "seed", 1)
        assert not np.array_equal(weights(page), start)
        set_value(page, "seed", 0)
        assert np.array_equal(weights(page), start)
        page.select_option("#control-loss", "cross_entropy")
        assert js(page, "p.training.network.outputs") == 2
        set_value(page, "seed", "")
        assert page.locator("#control-seed").input_value() == "0"


# --- network


def test_layers_and_units_are_added_and_removed(opened: Open) -> None:
    with opened(play_section(None)) as page:
        shape = "p.training.network.layers.map((layer) => layer.units)"
        start = weights(page)
        page.get_by_role("button", name="Add a unit to layer 1").click()
        assert js(page, shape) == [7, 4, 1]
        assert np.array_equal(weights(page)[:12], start[:12])
        page.get_by_role("button", name="Remove a unit of layer 2").click()
        assert js(page, shape) == [7, 3, 1]
        page.get_by_role("button", name="Add layer").click()
        assert js(page, shape) == [7, 3, 4, 1]
        for _ in range(3):
            page.get_by_role("button", name="Remove layer 1", exact=True).click()
        assert js(page, shape) == [1]
        page.get_by_role("button", name="Step", exact=True).click()
        assert js(page, "p.training.steps") == 1


def test_inputs_are_chosen_by_their_buttons(opened: Open) -> None:
    with opened(play_section(None)) as page:
        page.get_by_role("button", name="Input x₁²").click()
        page.get_by_role("button", name="Input sin πx₂").click()
        page.get_by_role("button", name="Input x₂", exact=True).click()
        assert sorted(columns(page, "inputs")) == ["sin πx₂", "x₁", "x₁²"]
        assert js(page, "p.training.network.inputs") == 3
        row = js(page, "Array.from(p.training.inputs.train.slice(0, 3))")
        x, y = js(page, "Array.from(p.table.values.slice(0, 2))")
        assert row == pytest.approx([x, x * x, np.sin(np.pi * y)])


def test_weights_and_biases_are_edited(opened: Open) -> None:
    with opened(play_section(None)) as page:
        page.get_by_role("button", name="Layer 1, unit 2: show its weights").click()
        before = js(page, "p.training.results.train.loss")
        page.get_by_label("x₂", exact=True).fill("3.5")
        page.get_by_label("bias").fill("-1")
        assert js(page, "[p.training.network.layers[0].weight[3], p.training.network.layers[0].bias[1]]") == [
            3.5,
            -1,
        ]
        assert js(page, "p.training.results.train.loss") != before
        page.get_by_role("button", name="Close").click()
        # a click on the line leads to the number of its weight
        edge = "p.diagram.edges.find(({ from, to }) => from.layer === 0 && to.index === 0)"
        x, y = js(
            page,
            f"(({{ path }}) => {{ const at = path.getPointAtLength(20); return [at.x, at.y]; }})({edge})",
        )
        box = page.locator(".diagram").bounding_box()
        page.mouse.move(box["x"] + x, box["y"] + y)
        assert "Weight from layer 1" in page.locator(".message").inner_text()
        page.mouse.click(box["x"] + x, box["y"] + y)
        assert page.evaluate("document.activeElement.type") == "number"


def test_a_units_map_is_shown_by_pointer_and_by_keyboard(opened: Open) -> None:
    with opened(play_section(None)) as page:
        picture = "p.map.toDataURL()"
        output = js(page, picture)
        unit = page.get_by_role("button", name="Layer 1, unit 1: show its weights")
        unit.hover()
        hovered = js(page, picture)
        assert hovered != output
        page.mouse.move(0, 0)
        assert js(page, picture) == output
        unit.focus()
        assert js(page, picture) == hovered
        assert page.locator(".map-title").inner_text() == "layer 1, unit 1"


# --- data


@pytest.mark.parametrize(
    ("name", "outputs", "loss"),
    [("Circles", 1, "bce"), ("Four blobs", 4, "cross_entropy"), ("Plane", 1, "mse")],
)
def test_datasets_bring_their_loss_and_outputs(opened: Open, name: str, outputs: int, loss: str) -> None:
    with opened(play_section(None)) as page:
        page.get_by_label(name).check()
        assert js(page, "[p.training.network.outputs, p.training.network.loss]") == [outputs, loss]
        js(page, "p.training.advance('full', 12)")
        assert js(page, "Number.isFinite(p.training.results.test.loss)")


def test_noise_rows_and_shares_make_new_rows_and_keep_the_network(opened: Open) -> None:
    with opened(play_section(None)) as page:
        start, picture = weights(page), js(page, "p.points.toDataURL()")
        set_value(page, "noise", 0)
        set_value(page, "rows", 200)
        set_value(page, "share", 0.5)
        assert js(page, "[p.training.rows.train.length, p.training.rows.test.length]") == [100, 100]
        x, y = np.reshape(js(page, "Array.from(p.table.values)"), (-1, 2)).T
        outer = np.array(js(page, "Array.from(p.table.truth)")) == 0
        np.testing.assert_allclose(np.hypot(x, y)[outer], 1)
        assert np.array_equal(weights(page), start)
        assert js(page, "p.points.toDataURL()") != picture
        page.get_by_role("button", name="New rows").click()
        assert columns(page, "seed") == 1


def test_views_of_the_map_change_its_pixels(opened: Open) -> None:
    with opened(play_section(None)) as page:
        soft, points = js(page, "p.map.toDataURL()"), js(page, "p.points.toDataURL()")
        page.get_by_label("Hard colours").check()
        assert js(page, "p.map.toDataURL()") != soft
        page.get_by_label("Test rows").uncheck()
        assert js(page, "p.points.toDataURL()") != points
        page.get_by_role("button", name="Dark theme").click()
        assert js(page, "p.colors.paper") == "#15181c"


def test_points_are_added_by_click_and_by_keyboard(opened: Open) -> None:
    with opened(play_section(None)) as page:
        stack = page.locator(".stack")
        stack.click(position={"x": 20, "y": 30})
        assert js(page, "p.table.rows") == 400
        page.get_by_label("A click adds").select_option(label="a row of inner")
        stack.click(position={"x": 20, "y": 30})
        assert js(page, "[p.table.rows, p.table.truth.at(-1), p.training.rows.train.length]") == [401, 1, 281]
        stack.focus()
        page.keyboard.press("ArrowUp")
        assert "%" in page.locator(".message").inner_text()
        page.keyboard.press("Enter")
        assert js(page, "p.table.rows") == 402
        low, high = js(page, "p.plane.ranges[0]")
        assert js(page, "p.table.values.at(-2)") == pytest.approx((low + high) / 2)


CSV = "size,colour,price\n" + "".join(f'{k / 10},{["red", "blue"][k % 2]},"{k * 2.5}"\n' for k in range(40))


def test_a_csv_file_is_read_and_its_target_chosen(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "flats.csv"
    path.write_text(CSV + "?,red,3\n")
    with opened(play_section(None)) as page:
        page.get_by_label("Your CSV file").set_input_files(path)
        wait(page, "p.source.kind === 'file'")
        assert "1 incomplete row" in page.locator(".message").inner_text()
        assert columns(page, "inputs") == ["size", "colour=blue", "colour=red"]
        assert js(page, "[p.training.network.loss, p.table.rows]") == ["mse", 40]
        page.get_by_label("Target").select_option("colour")
        assert columns(page, "inputs") == ["size", "price"]
        assert js(page, "p.table.classes") == ["blue", "red"]
        page.get_by_label("Target").select_option("size")
        page.get_by_label("Column up").select_option(label="price")
        assert js(page, "p.axes.map((axis) => p.table.names[axis])") == ["colour=blue", "price"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("a;b\r\n", "Complete rows: 0 of 0"),
        ("1,2\n3,4\n5,6\n", "name every column"),
        ('a,b\n1,"2\n3,4\n', "Row 2 has a quote that is not closed"),
        ("a,b\n1,\x00\n", "no text in UTF-8"),
        ("\ufeffa,b\n1,x\n1,x\n", "Different values of the target: 1"),
        ("text,y\n" + "".join(f"t{k},{k % 2}\n" for k in range(30)), "No column beside the target"),
        ("a\n1\n2\n", "two or more columns"),
        ("a,a\n1,2\n3,4\n", "once"),
        ("a,b\n" + "".join(f"1,{chr(97 + k)}{k}\n" for k in range(30)), "Different values of the target: 30"),
    ],
)
def test_a_csv_file_that_cannot_be_read_is_refused_in_a_line(
    opened: Open, tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode())
    with opened(play_section(None)) as page:
        page.get_by_label("Your CSV file").set_input_files(path)
        wait(page, "p.message.textContent !== ''")
        assert problem in page.locator(".message").inner_text()
        assert js(page, "p.source.kind") == "generator"
        page.get_by_role("button", name="Step", exact=True).click()


@pytest.mark.parametrize(
    ("text", "names", "note"),
    [
        ('\ufeff"x, cm";y\r\n"1";a\r\n2;b\r\n3;a\r\n', ["x, cm"], ""),
        ("x\ty\rid\t1\rid\t2\r", ["x=id"], ""),
        ('"a ""b""",y\n1,2\n\n', None, "Complete rows: 1 of 1"),
        ("x,name,y\n" + "".join(f"{k},n{k},{k % 2}\n" for k in range(30)), ["x"], "20 different texts: name"),
        ("x,y\n" + "".join(f"{k},{k}\n" for k in range(4500)), ["x"], "4000 of 4500 rows"),
    ],
)
def test_odd_csv_files_are_read(
    opened: Open, tmp_path: Path, text: str, names: list[str] | None, note: str
) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes(text.encode())
    with opened(play_section(None)) as page:
        page.get_by_label("Your CSV file").set_input_files(path)
        wait(page, "p.message.textContent !== ''" if note else "p.source.kind === 'file'")
        assert note in page.locator(".message").inner_text()
        assert js(page, "p.source.kind === 'file' ? p.table.names : null") == names


def test_a_dropped_file_is_read(opened: Open) -> None:
    with opened(play_section(None)) as page:
        page.evaluate(
            "(text) => { const data = new DataTransfer(); data.items.add(new File([text], 'dropped.csv'));"
            " const dropped = new DragEvent('drop', { dataTransfer: data });"
            " document.querySelector('.playground').dispatchEvent(dropped); }",
            CSV,
        )
        wait(page, "p.source.name === 'dropped.csv'")


def test_the_address_brings_the_settings_back(opened: Open) -> None:
    with opened(play_section(None)) as page:
        page.get_by_label("Spirals").check()
        set_value(page, "lr", 0.1)
        page.get_by_role("button", name="Add layer").click()
        page.reload()
        assert js(page, "[p.settings.dataset, p.settings.lr, p.settings.hidden.length]") == [
            "spirals",
            0.1,
            3,
        ]
        page.evaluate('location.hash = \'dataset="nothing"&lr="x"&hidden=[{}]&rows=100.5\'')
        page.reload()
        assert js(page, "[p.settings.dataset, p.settings.lr, p.settings.hidden.length, p.settings.rows]") == [
            "moons",
            0.01,
            2,
            400,
        ]


# --- downloads


PREPARED = {
    "a generator": "0",
    "computed inputs": "p.toggleInput('x₁²')",
    "three classes": "(p.settings.dataset = 'arms', p.settings.noise = 0.05, p.renew())",
    "a penalty": "(p.settings.dataset = 'gaussians', p.renew(), p.change('l2', 0.01))",
    "numbers and dropout": "(p.settings.dataset = 'bumps', p.renew(), p.change('dropout', 0.2))",
    "no hidden layer": "(p.setHidden([]), p.change('loss', 'mse'))",
    "an added row": "(p.adds.value = '1', p.addPoint([0.2, 0.3]))",
}


@pytest.mark.parametrize("case", PREPARED)
def test_the_config_trains_with_mlprun(
    opened: Open, tmp_path: Path, call: Callable[..., tuple[int, str, str]], case: str
) -> None:
    with opened(play_section(None)) as page:
        js(page, PREPARED[case])
        name, text = download(page, "Config (YAML)")
        _, weights_file = download(page, "Weights (safetensors)")
        shapes = js(page, "p.training.network.layers.map((layer) => [layer.units, layer.inputs])")
        loss = js(page, "p.training.results.train.loss")
    assert name == "playground.yaml"
    (tmp_path / name).write_bytes(text)
    (tmp_path / "weights.safetensors").write_bytes(weights_file)
    code, _, err = call("validate", str(tmp_path / name))
    assert code == 0, err
    overrides = ("training.epochs=1", "training.batch_size=full", "architecture.dropout=0")
    init = f"architecture.init={{name: file, path: {tmp_path}/weights.safetensors}}"
    run = mlprun.train(str(tmp_path / name), *overrides, init, out=str(tmp_path / "runs"))
    layers = [run.model.get_parameter(f"layers.{k}.weight") for k in range(len(shapes))]
    assert [list(layer.shape) for layer in layers] == shapes
    if case in ("computed inputs", "an added row"):  # then the rows are in the config
        assert float(run.history["train_loss"][0]) == pytest.approx(loss, rel=1e-4)


def test_the_weights_are_read_by_safetensors(opened: Open, moons: RunData) -> None:
    section = playground_section(moons)
    assert section is not None
    with opened(section) as page:
        name, content = download(page, "Weights (safetensors)")
    assert name == "weights.safetensors"
    found = safetensors.numpy.load(content)
    expected = {f"model.{name}": array for name, array in moons.models[60].items()}
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_the_picture_is_an_image_without_scripts(opened: Open) -> None:
    with opened(play_section(None)) as page:
        name, content = download(page, "Picture (SVG)")
        text = content.decode()
        assert name == "playground.svg"
        assert text.startswith("<svg")
        assert text.count("<image") == 2 + 6 + 4 + 1 + 2  # inputs, units, output, map and rows
        size = page.evaluate(
            "(text) => new Promise((done) => { const image = new Image();"
            " image.onload = () => done(image.width);"
            " image.src = 'data:image/svg+xml,' + encodeURIComponent(text); })",
            text,
        )
        assert size > 500


# --- runs


def test_the_scrubber_shows_snapshots_with_their_metrics(opened: Open, moons: RunData) -> None:
    section = playground_section(moons)
    assert section is not None
    with opened(section) as page:
        slider = page.get_by_label("Snapshot of the run")
        slider.focus()
        maps = []
        for index, epoch in enumerate(list(moons.snapshots)[:3]):
            page.keyboard.press("ArrowRight" if index else "Home")
            assert page.locator(".timeline .value").inner_text() == f"epoch {epoch}"
            expected = moons.snapshots[epoch]["layers.1.weight"].ravel().tolist()
            assert js(page, "Array.from(p.training.network.layers[1].weight)") == expected
            maps.append(js(page, "p.map.toDataURL()"))
        assert len(set(maps)) == 3
        row = list(moons.history["epoch"]).index(epoch)
        logged = page.locator(".logged").inner_text()
        assert f"dev loss {moons.history['dev_loss'][row]:.3g}" in logged
        page.get_by_role("button", name="Step", exact=True).click()
        assert js(page, "p.training.epoch") == epoch + 1
        page.get_by_label("Circles").check()
        slider.press("End")
        assert js(page, "[p.source.kind, p.training.epoch]") == ["run", 60]


def test_replay_shows_one_snapshot_after_the_other(opened: Open, moons: RunData) -> None:
    section = playground_section(moons)
    assert section is not None
    with opened(section) as page:
        page.evaluate("""(() => {
          const { playground } = globalThis, scrub = playground.scrub;
          playground.shown = [];
          playground.scrub = (index) => playground.shown.push(index) && scrub.call(playground, index);
        })()""")
        page.get_by_role("button", name="Replay").click()
        wait(page, "p.replayButton.textContent === 'Replay'")
        assert js(page, "p.shown") == list(range(len(moons.snapshots)))
        page.get_by_role("button", name="Replay").click()
        page.get_by_role("button", name="Stop").click()


def test_the_losses_of_a_run_are_those_of_mlprun(opened: Open, moons: RunData) -> None:
    section = playground_section(moons)
    assert section is not None
    assert moons.trained is not None
    with opened(section) as page:
        results = js(page, "p.training.results")
    for split, metrics in moons.trained.evaluate().items():
        assert results[split]["loss"] == pytest.approx(metrics["loss"], rel=1e-6)
        assert results[split]["score"] == pytest.approx(metrics["accuracy"])


def test_r2_of_several_targets_is_the_mean_of_theirs(opened: Open, tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 30)[:, None]
    targets = np.hstack([x**2, 9 * x]).tolist()
    dataset: dict[str, Any] = {"name": "inline", "inputs": x.tolist(), "targets": targets}
    dataset["split"] = {"train": 15, "dev": 10, "test": 5}
    config = {"dataset": dataset, "metrics": ["r2"], "training": {"epochs": 20}}
    run = mlprun.train(config, out=str(tmp_path)).figure_data
    section = playground_section(run)
    assert section is not None
    assert run.trained is not None
    with opened(section) as page:
        results = js(page, "p.training.results")
    for split, metrics in run.trained.evaluate().items():
        assert results[split]["score"] == pytest.approx(metrics["r2"], rel=1e-5)


@pytest.mark.parametrize(
    "config", ["iris.yaml", "diabetes.yaml", "table_classes.yaml", "xor.yaml", "digits.yaml"]
)
def test_configs_open_with_their_rows(opened: Open, config: str) -> None:
    experiment = Experiment.of(api.load_config(str(ROOT / "configs" / config)))
    with opened(play_section(experiment)) as page:
        page.get_by_role("button", name="Step", exact=True).click()
        assert js(page, "[p.training.steps, p.training.network.inputs]") == [1, experiment.width]
        _, text = download(page, "Config (YAML)")
    assert experiment.config.loss.name in text.decode()


# --- access


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_axe_finds_no_serious_fault(opened: Open, moons: RunData, scheme: str, width: int) -> None:
    if not os.path.exists(AXE):
        pytest.skip("axe-core is not installed; AXE_CORE names its axe.min.js")
    section = playground_section(moons)
    assert section is not None
    with opened(section, color_scheme=scheme, viewport={"width": width, "height": 900}) as page:
        page.get_by_role("button", name="Layer 1, unit 1: show its weights").click()
        page.evaluate(Path(AXE).read_text() + "\nundefined")
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    serious = [
        {one["id"]: [node["html"] for node in one["nodes"]]}
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_without_javascript_the_page_says_what_it_needs(opened: Open, moons: RunData) -> None:
    section = playground_section(moons)
    assert section is not None
    with opened(section, java_script_enabled=False) as page:
        assert "needs JavaScript" in page.inner_text("main")


def test_reduced_motion_draws_less_often(opened: Open) -> None:
    with opened(play_section(None), reduced_motion="reduce") as page:
        page.evaluate(
            "globalThis.drawn = 0; globalThis.playground.refresh = () => { globalThis.drawn++; }; undefined"
        )
        page.get_by_role("button", name="Train").click()
        page.wait_for_timeout(700)
        page.get_by_role("button", name="Pause").click()
        assert page.evaluate("globalThis.drawn") <= 3


def test_a_page_is_no_larger_than_promised(opened: Open, moons: RunData) -> None:
    from mlprun.report.page import assemble

    section = playground_section(moons)
    assert section is not None
    data = len(json.dumps(section.data["playground"]))
    assert len(assemble("Playground", [section])) - data < 150_000
