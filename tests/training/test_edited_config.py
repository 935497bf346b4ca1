"""A config.yaml that was edited in a run folder: every command says so and uses what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import mlprun.api as mlprun
from mlprun.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    Train = Callable[..., mlprun.Run]
    Contents = Callable[[Any], dict[str, bytes]]
    Call = Callable[..., tuple[int, str, str]]

EDITS = {
    "rate": ("lr: 0.5", "lr: 0.25"),
    "epochs": ("epochs: 12", "epochs: 30"),
    "invalid": ("lr: 0.5", "lr: [0.5"),
    "table": ("name: moons", "name: nothing"),
}


def edit(run: mlprun.Run, kind: str) -> None:
    path = Path(run.path, "config.yaml")
    before, after = EDITS[kind]
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


@pytest.mark.parametrize("kind", EDITS)
def test_show_and_compare_say_it_and_show_what_was_trained(kind: str, train: Train, call: Call) -> None:
    run, other = train(), train()
    edit(run, kind)
    said = f"warning: {run.path}/config.yaml was edited after the run was started; the config in "
    code, out, err = call("show", run.path)
    assert (code, err.startswith(f"{said}{run.path}/last.safetensors is used")) == (0, True)
    assert "12 of 12 epochs" in out
    code, out, err = call("compare", run.path, other.path)
    assert (code, err.startswith(said), "the configs are equal" in out) == (0, True, True)
    assert mlprun.load(run.path).config == other.config
    assert mlprun.load(other.path).edited is None


@pytest.mark.parametrize("kind", EDITS)
def test_reproduce_trains_what_was_trained_and_names_the_edit(
    kind: str, train: Train, tmp_path: Path, call: Call
) -> None:
    run = train()
    edit(run, kind)
    code, out, err = call("reproduce", run.path, "--out", tmp_path / "again")
    assert code == 0
    assert "config.yaml was edited after the run was started" in out + err


@pytest.mark.parametrize("kind", EDITS)
def test_resume_continues_with_what_was_trained_and_says_that_it_replaces_the_edit(
    kind: str, train: Train, contents: Contents, heard: Any
) -> None:
    run, longer = train(), train(training={"epochs": 20})
    edit(run, kind)
    edited = Path(run.path, "config.yaml").read_bytes()
    mlprun.resume(run.path, callbacks=[heard])
    assert "was edited after the run was started" in heard.said[0]
    assert Path(run.path, "config.yaml").read_bytes() == edited  # nothing is left to train
    mlprun.resume(run.path, epochs=20, callbacks=[heard])
    assert heard.said[-1] == f"replaced the edited {run.path}/config.yaml by the config that was used"
    assert contents(run) == contents(longer)
    assert mlprun.load(run.path).edited is None


def test_an_extended_run_and_a_comment_are_no_edits(train: Train, heard: Any) -> None:
    run = train()
    mlprun.resume(run.path, epochs=15, callbacks=[heard])
    mlprun.resume(run.path, epochs=20, callbacks=[heard])
    assert mlprun.load(run.path).edited is None
    path = Path(run.path, "config.yaml")
    path.write_text(f"# mine\n{path.read_text()}")
    mlprun.resume(run.path, callbacks=[heard])
    assert mlprun.load(run.path).edited is None
    assert path.read_text().startswith("# mine\n")
    assert not [line for line in heard.said if "edited" in line]
    edit(run, "rate")
    assert mlprun.load(run.path).edited is not None


def test_a_run_without_a_checkpoint_does_not_start_with_an_edited_config(train: Train) -> None:
    run = train()
    for name in ("best", "last", "last.previous"):
        Path(run.path, f"{name}.safetensors").unlink(missing_ok=True)
    edit(run, "rate")
    before = Path(run.path, "config.yaml").read_bytes()
    with pytest.raises(
        CheckpointError, match=r"config.yaml: was edited .* put the former text back, or start"
    ):
        mlprun.resume(run.path)
    assert Path(run.path, "config.yaml").read_bytes() == before
