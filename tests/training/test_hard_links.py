"""Copies of run folders made with `cp -al` share files by hard links, yet are runs of their own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlprun.api as mlprun

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    Train = Callable[..., mlprun.Run]
    Contents = Callable[[Any], dict[str, bytes]]


def files_of(folder: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_resuming_a_hard_linked_copy_does_not_change_the_original(train: Train, contents: Contents) -> None:
    run = train()
    copy = f"{run.path}-copy"
    shutil.copytree(run.path, copy, copy_function=os.link)
    before = files_of(run.path)
    resumed = mlprun.resume(copy, epochs=20)
    assert files_of(run.path) == before
    assert contents(resumed) == contents(train(training={"epochs": 20}))
    assert "resumed after epoch 12" in Path(copy, "train.log").read_text()
    assert mlprun.resume(run.path, epochs=15).status.epochs == 15  # and the other way round
    assert contents(resumed) == contents(train(training={"epochs": 20}))


def test_a_copy_made_while_the_run_trains_does_not_grow_with_it(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: dict[str, bytes] = {}

    class Copying(mlprun.Callback):
        def on_train_start(self, run: Any) -> None:
            shutil.copytree(run.path, tmp_path / "copy", copy_function=os.link)
            copied.update(files_of(str(tmp_path / "copy")))

    run = train(callbacks=[Copying()])
    assert files_of(str(tmp_path / "copy")) == copied
    assert len(Path(run.path, "history.csv").read_text().splitlines()) == 13
