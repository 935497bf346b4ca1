"""Callbacks: which events they receive, in which order and with what, and how they end a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

import mlprun
from mlprun import api
from mlprun.cli import main
from mlprun.errors import ConfigError, UsageError
from mlprun.experiment import history_columns
from mlprun.parts.callbacks import CallbackPart
from mlprun.parts.part import Named, Registry
from mlprun.schema.jsonschema import json_schema

if TYPE_CHECKING:
    from collections.abc import Callable

    Train = Callable[..., mlprun.Run]

EVENTS = ("on_train_start", "on_improvement", "on_epoch_end", "on_checkpoint", "on_chunk_end", "on_train_end")


class Journal(mlprun.Callback):
    """Notes every event with its arguments."""


def _note(event: str) -> Any:
    def note(self: Any, run: Any, *arguments: Any) -> None:
        vars(self).setdefault("events", []).append((event, run, arguments))

    return note


for _event in EVENTS:
    setattr(Journal, _event, _note(_event))


def test_events_arrive_in_the_order_of_the_epochs(train: Train) -> None:
    journal: Any = Journal()
    run = train(callbacks=[journal], training={"log_every": 3}, checkpoint={"epochs": 6})
    names = [event for event, _, _ in journal.events]
    assert names[0] == "on_train_start"
    assert names[-1] == "on_train_end"
    assert names.count("on_train_start") == names.count("on_train_end") == 1
    epochs = [(a[0].epoch, 0) if event == "on_improvement" else (a[0], 1)
              for event, _, a in journal.events if event in ("on_improvement", "on_epoch_end")]  # fmt: skip
    assert epochs == sorted(epochs)
    assert [epoch for epoch, kind in epochs if kind == 1] == [3, 6, 9, 12]
    assert [a[0] for event, _, a in journal.events if event == "on_checkpoint"] == [6, 12]
    ends = [a[0].epoch for event, _, a in journal.events if event == "on_chunk_end"]
    assert ends == sorted(set(ends))
    assert ends[-1] == run.status.epochs == 12


def test_epochs_bring_the_rows_of_the_history(train: Train) -> None:
    journal: Any = Journal()
    run = train(callbacks=[journal], training={"log_every": 2, "evaluate_every": 3})
    rows = {a[0]: a[1] for event, _, a in journal.events if event == "on_epoch_end"}
    assert list(next(iter(rows.values()))) == list(history_columns(run.config))[1:]
    assert rows[2]["dev_loss"] is None
    assert [row["train_loss"] for row in rows.values()] == run.history["train_loss"].tolist()
    assert rows[12]["dev_accuracy"] == run.history["dev_accuracy"][-1]
    improved = [a[0] for event, _, a in journal.events if event == "on_improvement"]
    assert improved[0].before is None
    assert [later.before for later in improved[1:]] == [item.value for item in improved[:-1]]


def test_a_run_tells_its_callbacks_what_it_is_and_how_it_ended(train: Train) -> None:
    journal: Any = Journal()
    run = train(callbacks=[journal])
    seen = journal.events[-1][1]
    assert (seen.path, seen.epoch, seen.stop_reason) == (run.path, 12, "finished")
    assert seen.final_metrics == run.metrics
    assert seen.config == run.config


class StopAt(mlprun.Callback):
    """Requests a stop at a logged epoch, or in another event."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.seen: list[int] = []

    def on_epoch_end(self, run: Any, epoch: int, metrics: Any) -> None:
        self.seen.append(epoch)
        if epoch == self.epoch:
            run.request_stop(f"epoch {epoch} is enough")


@pytest.mark.parametrize("engine", ["torch", "fused"])
@pytest.mark.parametrize("epoch", [1, 37, 200])
def test_a_callback_stops_a_run_at_exactly_its_epoch(
    engine: str, epoch: int, train: Train, contents: Any
) -> None:
    """Wherever the chunks end: 200 epochs are one or two of them."""
    stopper = StopAt(epoch)
    run = train(callbacks=[stopper], engine=engine, training={"epochs": 200})
    assert stopper.seen == list(range(1, epoch + 1))
    assert run.status.epochs == len(run.history["epoch"]) == epoch
    assert run.status.state == "finished"
    reason = "finished" if epoch == 200 else f"callback: epoch {epoch} is enough"
    assert run.status.reason == reason
    straight = train(out="straight", engine=engine, training={"epochs": epoch})
    same = contents(straight)
    for name in ("history.csv",):
        assert contents(run)[name] == same[name]
    for tensor, other in zip(
        run.last.network.state_dict().values(), straight.last.network.state_dict().values(), strict=True
    ):
        assert tensor.equal(other)


def test_a_run_that_a_callback_stopped_has_ended(train: Train, heard: Any) -> None:
    run = train(callbacks=[StopAt(4)])
    assert mlprun.resume(run.path, callbacks=[heard]).status.epochs == 4
    assert "has ended" in heard.said[0]


def test_a_stop_requested_after_a_chunk_ends_the_run_there(train: Train) -> None:
    class Once(mlprun.Callback):
        def on_chunk_end(self, run: Any, chunk: Any) -> None:
            run.request_stop("one chunk")

    run = train(callbacks=[Once()], training={"epochs": 500})
    assert 0 < run.status.epochs < 500
    assert run.status.reason == "callback: one chunk"
    assert run.last.epoch == run.status.epochs


def test_an_exception_in_a_callback_ends_its_run(train: Train, tmp_path: Path) -> None:
    class Failing(mlprun.Callback):
        def on_epoch_end(self, run: Any, epoch: int, metrics: Any) -> None:
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        train(callbacks=[Failing()])
    folder = tmp_path / "runs" / "latest"
    status = mlprun.load(folder).status
    assert (status.state, status.reason) == ("failed", "no more")


def test_a_callback_changes_no_byte(train: Train, contents: Any) -> None:
    assert contents(train(callbacks=[Journal()])) == contents(train(out="without"))


USER = '''
from pathlib import Path
from typing import Literal
import mlprun
from mlprun.parts.callbacks import CallbackPart, callbacks

class Stopper(mlprun.Callback):
    def __init__(self, loss):
        self.loss = loss

    def on_epoch_end(self, run, epoch, metrics):
        if metrics["train_loss"] < self.loss:
            run.request_stop(f"loss below {self.loss}")

    def on_train_end(self, run):
        Path(run.path, "ended.txt").write_text(run.stop_reason)

@callbacks.register
class StopBelow(CallbackPart):
    """Stops a run when its loss is low enough."""
    name: Literal["stop_below"] = "stop_below"
    loss: float = 0.5

    def build(self):
        return Stopper(self.loss)
'''


def test_a_config_names_callbacks_of_its_own_code(
    tmp_path: Path, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text(USER)
    sections = {"extend": [str(tmp_path / "mine.py")], "training": {"epochs": 300}}
    base = {
        "dataset": {"name": "moons", "noise": 0.1, "split": {"train": 45, "dev": 20, "test": 15}},
        **sections,
    }
    run = mlprun.train(
        {**base, "callbacks": [{"name": "stop_below", "loss": 0.4}]},
        out=str(tmp_path / "runs"),
        allow_code=True,
    )
    assert run.status.reason == "callback: loss below 0.4"
    assert Path(run.path, "ended.txt").read_text() == "callback"
    assert run.history["train_loss"][-1] < 0.4 <= run.history["train_loss"][-2]
    with pytest.raises(ConfigError, match=r"callbacks\.0: unknown callback 'stop_belo'; did you mean"):
        api.load_config({**base, "callbacks": ["stop_belo"]}, allow_code=True)
    assert main(["resume", run.path, "--allow-code", "-q"]) == 0
    assert "\nstopped by callback: loss below 0.4\n" in capsys.readouterr().out
    assert mlprun.load(run.path, allow_code=True).config.callbacks == run.config.callbacks
    assert "stop_below" in str(json_schema()["$defs"]["StopBelow"])


def test_what_is_no_callback_is_refused_before_anything_is_written(tmp_path: Path, train: Train) -> None:
    for wrong, message in (("progress", "has no method of"), (mlprun.Callback, "is a class; give objects")):
        with pytest.raises(UsageError, match=f"callbacks: .* {message}"):
            train(callbacks=[wrong])
    assert not (tmp_path / "runs").exists()


def test_an_unknown_callback_says_where_callbacks_come_from() -> None:
    empty: Registry[CallbackPart] = Registry("callback", "callbacks")
    field: TypeAdapter[CallbackPart] = TypeAdapter(Annotated[CallbackPart, Named(empty)])
    with pytest.raises(
        ValidationError, match="unknown callback 'nothing'; none is registered; name the file that"
    ):
        field.validate_python("nothing")
