"""Writers without the protocol: each must fail the tests that the real one passes."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from mlprun import files
from mlprun.storage.history import History
from mlprun.storage.runs import RunFolder
from mlprun.training import resuming
from mlprun.training.recorder import RunRecorder


def apply(name: str) -> None:
    """Take one rule away from this process."""
    CONTROLS[name]()


def _write_in_place() -> None:
    """Overwrite the file itself instead of replacing it by a finished one."""

    def write(path: Any, data: bytes, *, previous: Any = None) -> None:
        descriptor = files.system.open(os.fspath(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        for start in range(0, len(data), 500):
            files.system.write(descriptor, data[start : start + 500])
        files.system.close(descriptor)

    files.write_atomic = write


def _last_before_history() -> None:
    """Let the checkpoint speak of rows that are not written yet."""
    save = RunRecorder.save

    def saved(self: Any, state: Any, stopped: Any) -> None:
        history, rows = self._history, list(self._rows)
        append = history.append
        lines = "".join(",".join("" if v is None else repr(v) for v in row) + "\n" for row in rows)
        history.offset += len(lines.encode())
        history.append = lambda _: None
        save(self, state, stopped)
        history.offset -= len(lines.encode())
        history.append = append
        append(rows)

    RunRecorder.save = saved  # type: ignore[method-assign]


def _history_not_cut() -> None:
    """Keep the rows behind the checkpoint when a run goes on."""
    History.truncate = lambda self, offset: None  # type: ignore[method-assign]


def _slots_forgotten() -> None:
    """Go on with an optimizer that has forgotten its moments."""
    from_checkpoint = resuming.state_from

    def forgetful(checkpoint: Any, where: str) -> Any:
        saved = from_checkpoint(checkpoint, where)
        slots = {name: array * 0 for name, array in saved.state.optimizer_state.items()}
        return replace(saved, state=replace(saved.state, optimizer_state=slots))

    resuming.state_from = forgetful


def _best_never_first() -> None:
    """Write best only when the run is over, instead of before each last that refers to it."""
    save_best = RunFolder.save_best
    held: dict[str, bytes] = {}

    def hold(self: Any, data: bytes) -> None:
        held["best"] = data

    def flush(self: Any, status: Any) -> None:
        if status.state != "running" and "best" in held:
            save_best(self, held.pop("best"))
        write_status(self, status)

    write_status = RunFolder.write_status
    RunFolder.save_best = hold  # type: ignore[method-assign]
    RunFolder.write_status = flush  # type: ignore[method-assign]


CONTROLS = {
    "in place": _write_in_place,
    "last before history": _last_before_history,
    "history not cut": _history_not_cut,
    "slots forgotten": _slots_forgotten,
    "best last": _best_never_first,
}
