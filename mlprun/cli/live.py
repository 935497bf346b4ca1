"""What `--live` draws: sparklines of the losses and, for two inputs, what the network predicts over them."""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from mlprun import engines
from mlprun.cli.terminal import (
    BLUE,
    ORANGE,
    background,
    foreground,
    has_color,
    paint,
    sparkline,
    terminal_size,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mlprun.engines.contract import Row
    from mlprun.training.trainer import TrainingRun

    Array = NDArray[Any]

MOST = 2048
"""losses that are kept; of more, every second"""
WIDEST, TALLEST, LEAST = 64, 24, 12
"""columns and rows of the map, and those of a terminal that has room for one"""
ROWS = 200
"""train rows that are drawn, at most"""
MARGIN = 0.08
"""of the map around the rows, as a share of their range"""
COLORS = (
    *(BLUE, ORANGE, (0, 158, 115), (213, 94, 0)),
    *((204, 121, 167), (240, 228, 66), (136, 51, 238), (102, 51, 17)),
)
"""of the classes"""


class LiveView:
    """The losses so far and, of a run with two numeric inputs, a map of its outputs."""

    def __init__(self, run: TrainingRun) -> None:
        self._losses: dict[str, list[float]] = {"train": [], "dev": []}
        self._rows, self._every = 0, 1
        experiment = run.experiment
        numeric = experiment.width == 2 and run.config.architecture.vocabulary is None
        self._engine = engines.choose(experiment, run.config.engine)[0] if numeric else None
        rows = experiment.fixed["train"]
        kept = np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).astype(np.int64)
        self._inputs, self._truth = np.asarray(rows.inputs, np.float64), np.asarray(rows.truth)
        self._points = self._inputs[kept], self._truth[kept]

    def add(self, rows: Sequence[Row], names: Sequence[str]) -> None:
        """Take in the losses of a chunk."""
        columns = {split: names.index(f"{split}_loss") for split in self._losses}
        for row in rows:
            if self._rows % self._every == 0:
                for split, losses in self._losses.items():
                    value = row[columns[split]]
                    losses.append(math.nan if value is None else value)
            self._rows += 1
        if len(self._losses["train"]) > MOST:
            self._losses = {split: losses[::2] for split, losses in self._losses.items()}
            self._every *= 2

    def lines(self, run: TrainingRun) -> list[str]:
        """Return the lines of the map and of the sparklines for a terminal of the present size."""
        columns, rows = terminal_size()
        with np.errstate(all="ignore"):  # of a run that diverges
            has_map = self._engine is not None and has_color() and min(rows, columns) >= LEAST
            lines = self._map(run, columns - 1, rows - 5) if has_map else []
            for (split, losses), shade in zip(self._losses.items(), (BLUE, ORANGE), strict=True):
                curve = sparkline(losses, max(1, min(WIDEST, columns - 1) - 6))
                lines += [f"{split:5} {paint(curve, foreground(shade))}"] if curve else []
        return lines

    def _map(self, run: TrainingRun, columns: int, rows: int) -> list[str]:
        """Return the map in half blocks, each two pixels."""
        low, high = self._inputs.min(axis=0), self._inputs.max(axis=0)
        room = MARGIN * np.where(high > low, high - low, 1.0)
        low, high = low - room, high + room
        width, height = min(columns, WIDEST), 2 * min(rows, TALLEST)
        ratio = (high[1] - low[1]) / (high[0] - low[0])
        width = max(8, min(width, int(height / ratio)))
        height = max(8, 2 * round(min(height, width * ratio) / 2))
        x, y = np.meshgrid(np.linspace(low[0], high[0], width), np.linspace(high[1], low[1], height))
        inputs = np.column_stack([x.ravel(), y.ravel()]).astype(run.experiment.dtype)
        assert self._engine is not None
        outputs = self._engine.outputs(run.experiment, run.state.model, inputs, device="cpu")
        values = np.asarray(outputs, np.float64).reshape(height, width, -1)
        pixels = _colored(values, run)
        points, truth = self._points
        at = np.rint((points - low) / (high - low) * (width - 1, height - 1)).astype(np.int64)
        classes = truth.reshape(len(truth), -1)[:, 0].astype(np.int64) if run.experiment.classes else None
        pixels[height - 1 - at[:, 1], at[:, 0]] = 70 if classes is None else 0.6 * _color_of(classes)
        return [_half_blocks(upper, lower) for upper, lower in zip(pixels[::2], pixels[1::2], strict=True)]


def _colored(values: Array, run: TrainingRun) -> Array:
    """Return the colours [H, W, 3]: white at the threshold, or the more of a class's the surer it is."""
    if values.shape[2] > 1 and run.experiment.classes is not None:
        order = np.sort(values, axis=2)
        share = np.clip((order[:, :, -1] - order[:, :, -2])[:, :, None], 0.1, 1)
        color = _color_of(values.argmax(axis=2))
    else:
        one = values[:, :, :1]
        is_class = run.experiment.classes is not None
        middle = run.experiment.decision_threshold if is_class else (one.min() + one.max()) / 2
        distance = np.abs(one - middle)
        share = np.clip(distance / max(distance.max(), 0.5 if is_class else 1e-12), 0, 1)
        color = _color_of((one[:, :, 0] > middle).astype(np.int64))
    pixels: Array = 255 + (color - 255) * 0.8 * np.nan_to_num(share)
    return pixels


def _color_of(classes: Array) -> Array:
    """Return the colours [..., 3] of class numbers."""
    colors: Array = np.asarray(COLORS, np.float64)[classes % len(COLORS)]
    return colors


def _half_blocks(upper: Array, lower: Array) -> str:
    """Return a line of two rows of pixels; neighbours of the same colours share one escape sequence."""
    pairs = zip(np.rint(upper).astype(int).tolist(), np.rint(lower).astype(int).tolist(), strict=True)
    return "".join(
        paint("▀" * len(list(same)), foreground(one), background(two)) for (one, two), same in groupby(pairs)
    )
