"""`mlprun verify`: shipped configs agree, what is broken is caught, and a user's script is explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlprun import api, engines
from mlprun.cli import main
from mlprun.engines.fused import FusedEngine
from mlprun.experiment import Experiment

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIGS = Path(__file__).parents[2] / "configs"
XOR = str(CONFIGS / "xor_no_bias.yaml")
EVERY = sorted(CONFIGS.glob("*.yaml"))


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    """The exit code, the one config's document, and what stood on standard error."""
    code = main(["verify", *arguments, "--json", "-q"])
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["agree"] == (code == 0)
    return code, document["configs"][0], said.err


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.stem)
def test_engines_agree_on_every_shipped_config(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found, err = told(capsys, str(path), "--steps", "3", "--coordinates", "200", "--allow-code")
    assert (code, err) == (0, "")
    assert {*found["engines"], *found["refused"]} == {engine.name for engine in engines.every()}
    assert not {*found["engines"]} & {*found["refused"]}
    assert {one["engine"] for one in found["gradients"]} == set(found["engines"])
    assert all(one["kinks"] <= one["parameters"] // 2 for one in found["gradients"])


def test_tables_show_every_pair_and_every_engine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", XOR, "-q"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{XOR}: 100 steps (100 epochs)\n")
    rows = [line.split() for line in out.splitlines()]
    assert ["torch", "float64,", "fused", "float64", "gradient"] in [row[:5] for row in rows]
    assert [row[-1] for row in rows if row[:4] == ["torch", "float32,", "torch", "float64"]] == [
        "reference"
    ] * 2
    assert any(row[:4] == ["fused", "15", "of", "15"] and row[-1] == "yes" for row in rows)


def test_an_engine_that_cannot_run_a_config_is_named_with_the_reason(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lbfgs = str(CONFIGS / "moons_lbfgs.yaml")
    assert main(["verify", lbfgs, "--steps", "2", "--coordinates", "10", "-q"]) == 0
    out = capsys.readouterr().out
    assert "without fused: it has no kernel for the optimizer lbfgs" in out
    assert "only torch runs this config: nothing but its gradients is checked" in out
    _, found, _ = told(capsys, lbfgs, "--steps", "2", "--coordinates", "10")
    assert found["refused"]["fused"] == "it has no kernel for the optimizer lbfgs"
    assert found["engines"] == ["torch"]


def test_a_gradient_that_is_broken_on_purpose_is_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = FusedEngine.gradients

    def wrong(self: FusedEngine, *given: Any, **named: Any) -> Any:
        gradient = dict(right(self, *given, **named))
        gradient["layers.1.weight"] = gradient["layers.1.weight"] * (1 + 1e-5)
        return gradient

    monkeypatch.setattr(FusedEngine, "gradients", wrong)
    code, found, err = told(capsys, XOR)
    assert code == 10
    pair = next(pair for pair in found["pairs"] if "fused float64" in pair["engines"])
    assert [pair[name]["agree"] for name in ("gradient", "curve", "weights")] == [False, True, True]
    checks = {one["engine"]: one for one in found["gradients"]}
    assert checks["torch"]["agree"]
    assert checks["fused"]["where"].startswith("layers.1.weight")
    assert err.startswith(f"error: {XOR}: torch float64 and fused float64 differ in gradient by")
    assert main(["verify", XOR, "-q"]) == 10
    assert "NO" in capsys.readouterr().out


def test_a_step_that_is_broken_on_purpose_is_caught_though_gradients_are_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = FusedEngine.states

    def wrong(self: FusedEngine, cohort: Any, which: Any) -> Any:
        (state,) = right(self, cohort, which)
        state.model["layers.0.weight"][0, 0] += 1e-10
        return [state]

    monkeypatch.setattr(FusedEngine, "states", wrong)
    code, found, err = told(capsys, XOR)
    assert code == 10
    assert all(one["agree"] for one in found["gradients"])
    assert found["problems"]
    assert all("fused float64" in text and "differ in weights by 1e-10" in text for text in found["problems"])
    assert "use engine: torch" in err


def test_a_backward_pass_of_the_users_own_that_is_wrong_is_caught(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only torch runs it, so there is no second engine: the differences alone must find it."""
    (tmp_path / "mine.py").write_text(
        "from typing import Literal\n"
        "import torch\n"
        "from mlprun.parts.activations import Activation, activations\n"
        "class Square(torch.autograd.Function):\n"
        "    @staticmethod\n"
        "    def forward(ctx, x):\n"
        "        ctx.save_for_backward(x)\n"
        "        return x * x\n"
        "    @staticmethod\n"
        "    def backward(ctx, slope):\n"
        "        return slope * ctx.saved_tensors[0]\n"
        "class Module(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return Square.apply(x)\n"
        "@activations.register\n"
        "class Mine(Activation):\n"
        "    '''The square, with half its derivative.'''\n"
        "    name: Literal['mine'] = 'mine'\n"
        "    def build(self):\n"
        "        return Module()\n"
    )
    path = tmp_path / "mine.yaml"
    path.write_text("extend: [mine.py]\ndataset: xor\narchitecture: {hidden: [3], activation: mine}\n")
    code, found, err = told(capsys, str(path), "--allow-code")
    assert code == 10
    assert found["engines"] == ["torch"]
    assert [one["wrong"] for one in found["gradients"]] == [9]  # the hidden weights and biases
    assert "torch has 9 wrong of 13 gradients" in err


@pytest.fixture
def losses(tmp_path: Path) -> Callable[[float], str]:
    """A script's losses of shipped XOR from the recorded start, the delta without its 2/(N·K)."""

    def write(lr: float) -> str:
        start = api.load_config(XOR)
        state = Experiment.of(start).network().state_dict()
        first, second = (state[f"layers.{number}.weight"].numpy().T.copy() for number in (0, 1))
        rows, targets = np.array([[0, 0], [0, 1], [1, 0], [1, 1.0]]), np.array([[0], [1], [1], [0.0]])
        lines = ["loss"]
        for _ in range(100):
            hidden = 1 / (1 + np.exp(-rows @ first))
            output = 1 / (1 + np.exp(-hidden @ second))
            lines.append(repr(float(np.mean((targets - output) ** 2))))
            delta = (targets - output) * output * (1 - output)
            below = delta @ second.T * hidden * (1 - hidden)
            second, first = second + lr * hidden.T @ delta, first + lr * rows.T @ below
        (tmp_path / "losses.csv").write_text("\n".join(lines) + "\n")
        return str(tmp_path / "losses.csv")

    return write


def test_a_script_at_half_the_rate_agrees_and_at_the_same_rate_is_explained(
    losses: Callable[[float], str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, found, _ = told(capsys, XOR, "--against", losses(0.3))
    assert code == 0
    assert found["against"]["agree"]
    assert found["against"]["difference"] < 1e-14
    code, found, err = told(capsys, XOR, "--against", losses(0.6))
    assert code == 10
    assert found["against"]["first_epoch"] == 2
    (explanation,) = found["against"]["explanations"]
    assert [trap["kind"] for trap in explanation["traps"]] == ["factor"]
    assert explanation["difference"] < 1e-14
    assert "losses.csv is another curve from epoch 2 on; see above what may explain it" in err
    assert main(["verify", XOR, "--against", losses(0.6), "-q"]) == 10
    out = capsys.readouterr().out
    assert "because: its loss's gradient, or its learning rate, is 2 times this one's: N·K/2" in out


def test_a_curve_that_nothing_explains_is_said_to_be_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noise.csv").write_text("loss\n0.26973519506749455\n0.5\n0.3\n0.4\n0.2\n")
    code, _, err = told(capsys, XOR, "--against", str(tmp_path / "noise.csv"), "--coordinates", "1")
    assert code == 10
    assert "no mistake that was tried explains it: compare setups" in err


def test_gradients_that_are_all_zero_are_not_shown_in_shares_of_rounding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At weights of zero XOR pulls nowhere."""
    path = tmp_path / "zero.yaml"
    start = "{weight: zeros, bias: zeros}"
    path.write_text(f"dataset: xor\narchitecture: {{hidden: [2], activation: tanh, init: {start}}}\n")
    assert main(["verify", str(path), "training.dtype=float64", "-q"]) == 0
    out = capsys.readouterr().out
    assert "gradients and central differences\n" in out
    shown = next(row for line in out.splitlines() if "of 9" in line and (row := line.split()))
    assert float(shown[5]) < float(shown[6]) < 1e-6  # difference and bound, as they are


def test_curves_are_drawn_into_a_file(
    losses: Callable[[float], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "curves.png"
    arguments = ["verify", XOR, "--against", losses(0.6), "--plot", str(picture), "-q"]
    assert main(arguments) == 10  # drawn all the same
    assert picture.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert "exists; choose another name or add --force" in said.err
    assert said.out == ""  # before any work


def test_several_configs_make_a_table_in_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(CONFIGS / f"{name}.yaml") for name in ("xor", "embedding_numbers")]
    assert main(["verify", *paths, "--markdown", "--steps", "5", "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| config | steps | engines |")
    assert [line.split("|")[1].strip() for line in lines[2:]] == paths
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.yaml"], 2, "nowhere.yaml"),
        ([XOR, "optimizer.lr=fast"], 2, "optimizer.lr"),
        (
            [XOR, "--against", "nowhere.csv"],
            2,
            "no such file or folder; name a run folder, a config or a CSV",
        ),
        ([XOR, str(CONFIGS / "xor.yaml"), "--against", XOR], 2, "are for one config"),
        ([XOR, "training.epochs=0"], 2, "there is no step to compare"),
        ([XOR, "device=cuda:99"], 6, "cuda:99 is not available"),
        ([str(CONFIGS / "regression_fourth_power.yaml")], 2, "--allow-code"),
        ([XOR, "--plot", "curves.bmp"], 2, "curves.bmp: is no figure's name; end it in .png"),
        ([XOR, "--plot", "/nowhere/curves.png"], 7, "/nowhere: is not a folder"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", *arguments, "-q"]) == code
    assert said in capsys.readouterr().err
