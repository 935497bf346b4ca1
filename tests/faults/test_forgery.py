"""Checkpoints whose checksum is true and whose contents are not: exit 4, one line, and nothing is changed."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from faulty.comparing import read
from faulty.forging import at_random, forge
from faulty.variants import config_of

import mlprun.api as mlprun
from mlprun import cli

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[dict[str, Any], dict[str, Any]], Any]

SHORT = {"training": {"epochs": 5}}
CONFIGS = {
    "momentum": config_of("momentum", **SHORT),
    "adam": config_of("adam with dropout", **SHORT),
    "lbfgs": config_of("lbfgs", **SHORT),
    "plateau": config_of("plateau", early_stopping={"patience": 40}, **SHORT),
    "snapshots": config_of("batch norm and snapshots", **SHORT, snapshots=[1, 3]),
    "muon": config_of("muon, clipped", **SHORT),
    "nadam": config_of("momentum", optimizer={"name": "nadam", "lr": 0.01}, **SHORT),
    "fresh": config_of("fresh dev data", **SHORT),
    "fused": config_of("fused", **SHORT),
    "fused, adam": config_of("fused, adam, float64", **SHORT),
}


@pytest.fixture(scope="module")
def wholes(memory_folder: Path) -> dict[str, str]:
    """A run of each config that was stopped before its last epoch, by the config's name."""
    paths = {}
    for name, config in CONFIGS.items():
        path = mlprun.train(config, out=str(memory_folder / name)).path
        os.replace(f"{path}/last.previous.safetensors", f"{path}/last.safetensors")
        status = json.loads(read(path, "status.json"))
        Path(path, "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
        paths[name] = path
    return paths


@pytest.fixture
def run(memory: Path, wholes: dict[str, str]) -> Callable[[str], str]:
    """Copies a run; its path."""

    def copied(name: str) -> str:
        shutil.rmtree(memory / "run-001", ignore_errors=True)
        return str(shutil.copytree(wholes[name], memory / "run-001"))

    return copied


def contents(path: str) -> dict[str, bytes]:
    return {name: read(path, name) for name in os.listdir(path) if name != "lock"}


def weight(meta: dict[str, Any], number: int = 0) -> dict[str, Any]:
    """What the structure says of the first layer's weights."""
    slots: dict[str, Any] = meta["optimizer"][number]["layers.0.weight"]["of"]
    return slots


def replaced(name: str, way: Callable[[Any], Any]) -> Change:
    """A change of the one array of the first layer's weights."""

    def change(arrays: dict[str, Any], _: dict[str, Any]) -> None:
        (full,) = (known for known in arrays if known.endswith(name))
        arrays[full] = way(arrays[full])

    return change


def removed(name: str) -> Change:
    return lambda arrays, _: [arrays.pop(known) for known in list(arrays) if known.endswith(name)]


BUFFER, STEP = "0.layers.0.weight.momentum_buffer", "0.layers.0.weight.step"
FORGERIES: list[tuple[str, str, Change]] = [
    (config, what, change)
    for config in ("momentum", "fused")
    for what, change in {
        "a slot of another shape": replaced(BUFFER, lambda array: array.reshape(-1)),
        "a slot that is too long": replaced(BUFFER, lambda array: np.concatenate([array] * 9)),
        "a slot of another type": replaced(BUFFER, lambda array: array.astype("f8")),
        "a slot without its array": removed(BUFFER),
        "an array without its slot": lambda arrays, meta: arrays.update({"optimizer.x": np.ones(3)}),
        "an array of nothing": lambda arrays, meta: arrays.update({"x": np.ones(3)}),
        "a slot of another name": lambda _, meta: weight(meta).update(x=weight(meta).pop("momentum_buffer")),
        "one slot more": lambda _, meta: weight(meta).update(x=1),
        "a number for an array": lambda _, meta: weight(meta).update(momentum_buffer=0.5),
        "a list for an array": lambda _, meta: weight(meta).update(momentum_buffer=[None]),
        "a slot that is another's": lambda _, meta: weight(meta).update(
            momentum_buffer={"array": "0.layers.0.bias.momentum_buffer"}
        ),
        "a name that is none": lambda _, meta: weight(meta).update(momentum_buffer={"array": ["x"]}),
        "a parameter less": lambda _, meta: meta["optimizer"][0].pop("layers.0.bias"),
        "a parameter more": lambda _, meta: meta["optimizer"][0].update(x={"of": {}}),
        "a parameter of text": lambda _, meta: meta["optimizer"][0].update({"layers.0.bias": "x"}),
        "no optimizer": lambda _, meta: meta.update(optimizer=[]),
        "two optimizers": lambda _, meta: meta.update(optimizer=meta["optimizer"] * 2),
        "an optimizer of text": lambda _, meta: meta.update(optimizer="sgd"),
        "an optimizer that kept nothing": lambda _, meta: meta.update(optimizer=None),
        "slots before the first epoch": lambda _, meta: meta.update(epoch=0),
        "a best epoch to come": lambda _, meta: meta["progress"].update(best_epoch=5),
        "a best epoch of text": lambda _, meta: meta["progress"].update(best_epoch="1"),
        "a best epoch of more than any": lambda _, meta: meta["progress"].update(best_epoch=10**400),
        "a best epoch without a value": lambda _, meta: meta["progress"].update(best_value=None),
        "a best value that is none": lambda _, meta: meta["progress"].update(best_value=float("nan")),
        "a best value of lists": lambda _, meta: meta["progress"].update(best_value=[[]]),
        "a plateau of text": lambda _, meta: meta["progress"].update(plateau="x"),
        "a factor that is none": lambda _, meta: meta["progress"]["plateau"].update(factor=float("nan")),
        "a factor below 0": lambda _, meta: meta["progress"]["plateau"].update(factor=-1.0),
        "a count below 0": lambda _, meta: meta["progress"]["plateau"].update(bad_evaluations=-1),
        "a count of half": lambda _, meta: meta["progress"]["plateau"].update(cooldown_left=0.5),
        "a truth for an epoch": lambda _, meta: meta.update(epoch=True),
        "an epoch that is over the last": lambda _, meta: meta.update(epoch=6),
        "an offset in the middle of a row": lambda _, meta: meta.update(
            history_offset=meta["history_offset"] - 1
        ),
        "an offset of 0": lambda _, meta: meta.update(history_offset=0),
        "an end that is none": lambda _, meta: meta.update(stopped=["finished"]),
        "no snapshot of the start": removed("snapshot.0.layers.0.weight"),
        "a snapshot of an epoch of text": lambda arrays, _: arrays.update({"snapshot.x.y": np.ones(2)}),
        "a snapshot that nobody asked for": lambda arrays, _: arrays.update(
            {
                name.replace("model.", "snapshot.2."): array
                for name, array in list(arrays.items())
                if name.startswith("model.")
            }
        ),
    }.items()
]
STEPS = {"below 1": 0, "below 0": -1, "of more than there were": 10**6, "of nan": np.nan, "of inf": np.inf}
FORGERIES += [
    (config, f"a count of steps {what}", replaced(STEP, lambda array, to=to: np.full_like(array, to)))
    for config in ("adam", "nadam")
    for what, to in STEPS.items()
]
FORGERIES += [
    ("fused, adam", f"a count of steps {what}", lambda _, meta, to=to: weight(meta).update(step=to))
    for what, to in {**STEPS, "of more than fits": 10**400, "of text": "3", "of half": 2.5}.items()
]
FORGERIES += [
    ("adam", "a count of another type", replaced(STEP, lambda array: array.astype("u1"))),
    ("adam", "a plain count", lambda _, meta: weight(meta).update(step=9)),
    (
        "nadam",
        "a product of more than 1",
        replaced("0.layers.0.weight.mu_product", lambda array: np.full_like(array, 2)),
    ),
    ("muon", "slots of the other optimizer", lambda _, meta: meta.update(optimizer=meta["optimizer"][::-1])),
    ("lbfgs", "a history without its end", lambda _, meta: weight(meta)["old_dirs"].pop()),
    ("lbfgs", "a history without its steps", lambda _, meta: weight(meta).update(old_stps=[])),
    ("lbfgs", "a history with a gap", lambda _, meta: weight(meta)["ro"].__setitem__(0, None)),
    ("lbfgs", "a workspace of another size", lambda _, meta: weight(meta)["al"].pop()),
    ("lbfgs", "a count of iterations below 0", lambda _, meta: weight(meta).update(n_iter=-1)),
    ("lbfgs", "no iteration yet", lambda _, meta: weight(meta).update(n_iter=0)),
    ("lbfgs", "a length of text", lambda _, meta: weight(meta).update(t="1")),
    ("lbfgs", "a length of more than any", lambda _, meta: weight(meta).update(t=10**400)),
    ("lbfgs", "a loss that is none", lambda _, meta: weight(meta).update(prev_loss=None)),
    ("lbfgs", "a direction of one layer", replaced("0.layers.0.weight.d", lambda array: array[:3])),
    ("lbfgs", "state at a second parameter", lambda _, meta: meta["optimizer"][0].update(x=weight(meta))),
    ("snapshots", "a snapshot of another shape", replaced("snapshot.1.layers.0.bias", lambda a: a[:2])),
    ("snapshots", "a snapshot less", removed("snapshot.1.layers.0.bias")),
]


@pytest.mark.parametrize(
    ("config", "change"),
    [(config, change) for config, _, change in FORGERIES],
    ids=[f"{config}: {what}" for config, what, _ in FORGERIES],
)
def test_a_forged_state_is_refused_and_the_run_stays_as_it_is(
    config: str, change: Change, run: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = run(config)
    forge(f"{path}/last.safetensors", change)
    before = contents(path)
    assert cli.main(["resume", path, "-q"]) == 4
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert contents(path) == before


BESTS: dict[str, Change] = {
    "no figures": lambda _, meta: meta.pop("figures"),
    "figures of another run": lambda _, meta: meta["figures"]["dev"].update(f1=0.5),
    "no figure": lambda _, meta: meta["figures"].update(dev={}),
    "a figure of text": lambda _, meta: meta["figures"]["dev"].update(loss="0.5"),
    "a best that is too old": lambda _, meta: meta.update(epoch=0),
    "weights of another shape": replaced("layers.0.bias", lambda array: array[:1]),
    "no weights": removed("layers.0.bias"),
}


def operation(name: str, **options: Any) -> Change:
    """Declares an operation on the first input."""

    def change(_: Any, meta: dict[str, Any]) -> None:
        forged = {"operation": name, "columns": ["x1"], **options}
        meta["preprocessing"]["input_operations"].append(forged)

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda _, meta: meta["preprocessing"].update(inputs=[]),
        lambda _, meta: meta["preprocessing"]["inputs"][0].update(type="text"),
        operation("one_hot", categories=[["a"]]),
        operation("impute", values=["a"]),
        operation("scale", means=[0.0], scales=[0.0]),
        operation("execute", code=["1"]),
    ],
    ids=["no column", "text", "categories of numbers", "a text in numbers", "a scale of 0", "no operation"],
)
def test_a_forged_preprocessing_is_refused(
    change: Change, run: Callable[[str], str], memory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run("momentum")
    (memory / "rows.csv").write_text("x1,x2\n0,1\n")
    for name in ("best", "last"):
        forge(f"{path}/{name}.safetensors", change)
    before = contents(path)
    for arguments in (["eval", path], ["predict", path, str(memory / "rows.csv")], ["resume", path]):
        assert cli.main([*arguments, "-q"]) == 4
        assert capsys.readouterr().err.count("\n") == 1
    assert contents(path) == before


@pytest.mark.parametrize("what", BESTS)
@pytest.mark.parametrize("config", ["momentum", "fused"])
def test_a_forged_best_is_refused_and_the_run_stays_as_it_is(
    config: str, what: str, run: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = run(config)
    forge(f"{path}/best.safetensors", BESTS[what])
    before = contents(path)
    assert cli.main(["resume", path, "-q"]) == 4
    assert capsys.readouterr().err.count("\n") == 1
    assert contents(path) == before


def test_forgeries_at_random_end_in_words(
    run: Callable[[str], str],
    memory: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    """What no check knows of, such as weights of NaN, may train, or diverge, as such numbers do."""
    chance, codes = random.Random(1), Counter[tuple[str, int]]()
    (memory / "rows.csv").write_text("x1,x2\n0,1\n")
    count = 3000 if request.config.getoption("--slow") else 40
    for number in range(count):
        config = chance.choice(list(CONFIGS))
        path, which = run(config), chance.choice(["last", "last", "best"])
        done: list[str] = []

        def change(arrays: dict[str, Any], meta: dict[str, Any], done: list[str] = done) -> None:
            done.append(at_random(arrays, meta, chance))

        forge(f"{path}/{which}.safetensors", change)
        picture = ["plot", path, "--kind", "loss", "--out", str(memory / "loss.png")]
        for arguments in (
            ["eval", path],
            ["show", path],
            ["predict", path, str(memory / "rows.csv")],
            *([picture] if number % 10 == 0 else []),
            ["resume", path],
        ):
            (memory / "loss.png").unlink(missing_ok=True)
            before, code = contents(path), cli.main([*arguments, "-q"])
            said, told = capsys.readouterr().err, (number, config, which, *done, arguments[0])
            codes[arguments[0], code] += 1
            assert code in (0, 3, 4, 8), (*told, said)
            assert said.count("\n") == (code != 0), (*told, said)
            assert code in (0, 8) or contents(path) == before, told
    for command in ("eval", "show", "predict", "resume"):
        assert codes[command, 4] > count // 10, codes
        assert codes[command, 0] > count // 20, codes
