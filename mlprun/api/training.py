"""From Python: configs loaded, new runs, runs that go on or are made once more, and engines compared."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlprun import config as reading
from mlprun import schema, training, verification
from mlprun.api.run import Run
from mlprun.errors import ConfigError, DivergedError, InterruptedRunError, UsageError, command_line
from mlprun.experiment import Experiment
from mlprun.storage import runs
from mlprun.sweeps import definition as definitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlprun.schema import Config
    from mlprun.training import Ended, Reporter
    from mlprun.verification import Verification


class Silent:
    """A reporter of a run or a sweep that says nothing."""

    def begin(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    def say(self, message: str) -> None:
        """Nothing."""

    def report(self, *_: Any, **__: Any) -> None:
        """Nothing."""


SilentSweep = Silent


def train(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *overrides: str,
    out: str = "runs",
    allow_code: bool = False,
    reporter: Reporter | None = None,
) -> Run:
    """Train a config (a file, or a mapping of the same form) with `KEY=VALUE` overrides in a new run folder.

    Raises ConfigError, DataError, DeviceError, FileError; DivergedError and InterruptedRunError after saving.
    """
    resolved = load_config(config, *overrides, allow_code=allow_code)
    experiment = Experiment.of(resolved)
    return _ended(training.start(experiment, out=out, reporter=reporter or Silent()), allow_code=allow_code)


def resume(
    run: str | os.PathLike[str],
    *,
    epochs: int | None = None,
    device: str | None = None,
    allow_code: bool = False,
    reporter: Reporter | None = None,
) -> Run:
    """Go on where a run stopped; `epochs` extends it. Raises as `train` does, and CheckpointError."""
    folder = runs.open_run(os.fspath(run))
    ended = training.resume(
        folder, epochs=epochs, device=device, reporter=reporter or Silent(), allow_code=allow_code
    )
    return _ended(ended, allow_code=allow_code)


def reproduce(
    run: str | os.PathLike[str],
    *,
    out: str | None = None,
    allow_code: bool = False,
    reporter: Reporter | None = None,
) -> training.Reproduction:
    """Train a run again, in a new folder below `out` or in one that is removed, and compare the two.

    Raises CheckpointError for a run that has not ended, and as `train` does.
    """
    folder = runs.open_run(os.fspath(run))
    with tempfile.TemporaryDirectory(prefix="mlprun-") as temporary:
        return training.reproduce(
            folder, out=out or temporary, reporter=reporter or Silent(), allow_code=allow_code
        )


def _ended(ended: Ended, *, allow_code: bool) -> Run:
    folder = ended.folder
    if ended.stopped == "diverged":
        what = f"training diverged after epoch {ended.epoch}, which is saved"
        raise DivergedError(folder.path, what, "lower optimizer.lr or set training.clip_norm")
    if ended.stopped == "interrupted":
        what = f"stopped after epoch {ended.epoch}, which is saved"
        remedy = f"go on with: {command_line('resume', folder.path)}"
        raise InterruptedRunError(folder.path, what, remedy, signal_number=ended.signal_number or 2)
    return Run(folder, allow_code)


def load_config(
    config: str | os.PathLike[str] | Mapping[str, Any], *overrides: str, allow_code: bool = False
) -> Config:
    """The complete, checked config of a file or a mapping."""
    if isinstance(config, Mapping):
        return schema.parse(reading.from_mapping(config, "", "config", overrides), allow_code=allow_code)
    path = os.fspath(config)
    try:
        return schema.load(path, overrides, allow_code=allow_code)
    except ConfigError as error:
        if not definitions.is_sweep(path):
            raise
        what = "is a sweep file, not the config of a single run"
        raise UsageError(path, what, command_line("sweep run", path)) from error


def verify(
    config: str | os.PathLike[str] | Mapping[str, Any],
    *overrides: str,
    steps: int | None = None,
    against: str | os.PathLike[str] | None = None,
    coordinates: int = verification.LIMIT,
    allow_code: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Verification:
    """Train a config with every engine that can run it, from the same weights, and compare; check gradients.

    `against` names a run folder, a config or a CSV of losses that is compared, too. Nothing is raised where
    they do not agree: ask `agrees` and `problems`.
    """
    resolved = load_config(config, *overrides, allow_code=allow_code)
    return verification.verify(
        resolved,
        steps=steps,
        coordinates=coordinates,
        against=None if against is None else os.fspath(against),
        allow_code=allow_code,
        say=say,
    )
