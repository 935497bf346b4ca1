"""A chunk of epochs of one run, as the contract tells it: rows, improvements, the best, and why it stopped.

As in the torch engine the way back is a replay: a chunk that met a NaN or was stopped inside an epoch runs
again from its start, up to the last epoch that counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from mlprun.engines import epoch_protocol
from mlprun.engines.contract import Best, ChunkResult, Improvement, never
from mlprun.engines.fused import slices
from mlprun.engines.fused import tables as t
from mlprun.engines.fused.python_metrics import PythonMetricsTrainer
from mlprun.engines.fused.slices import Chunk
from mlprun.experiment import history_metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlprun.engines.contract import Row, StopCondition, StopReason
    from mlprun.engines.fused.member import Member
    from mlprun.engines.fused.workspace import Workspace

_WHY: dict[int, StopReason] = {
    t.FINISHED: "finished",
    t.OUT_OF_PATIENCE: "early_stopping",
    t.DIVERGED: "diverged",
}


class Rows(Sequence["Row"]):
    """History rows that are made as they are read: those of ten thousand runs would not fit as tuples."""

    def __init__(self, pieces: list[NDArray[np.float64]], *, figures: int) -> None:
        self._table = np.concatenate(pieces) if pieces else np.zeros((0, 8))
        self._figures = figures

    def __len__(self) -> int:
        return len(self._table)

    def table(self) -> NDArray[np.float64]:
        """All rows as [rows, columns], nan in the place of None."""
        some = self._figures
        columns = [0, 1, 2, 3, *[4] * some, 6, *[7] * some]
        made = self._table[:, columns]
        made[self._table[:, 5] == 0, 4 + some :] = np.nan
        return made

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        epoch, rate, loss, objective, figure, evaluated, dev_loss, dev_figure = self._table[index].tolist()
        seen = (figure,) * self._figures
        unseen = (dev_loss, *(dev_figure,) * self._figures) if evaluated else (None,) * (1 + self._figures)
        return (int(epoch), rate, loss, objective, *seen, *unseen)


class Improvements(Sequence[Improvement]):
    """Improvements that are made as they are read, for the same reason."""

    def __init__(self, pieces: list[NDArray[np.float64]]) -> None:
        self._table = np.concatenate(pieces) if pieces else np.zeros((0, 3))

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> Improvement: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Improvement]: ...
    def __getitem__(self, index: int | slice) -> Improvement | Sequence[Improvement]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        epoch, before, value = self._table[index].tolist()
        return Improvement(int(epoch), None if math.isnan(before) else before, value)


def advance(member: Member, space: Workspace, until: int, stop: StopCondition) -> ChunkResult:
    """Train one run up to `until` completed epochs, or until it stops."""
    if not member.inside:
        return epoch_protocol.advance(PythonMetricsTrainer(member, space), until, stop)
    start = member.snapshot()
    chunk = slices.run(member, space, until, stop)
    if chunk.stopped and member.cursor[t.BATCH_INDEX]:
        reached = member.epoch
        member.stand(start)
        chunk = slices.run(member, space, reached, never)
        chunk.stopped = True
    if chunk.status == t.DIVERGED or not np.isfinite(member.theta).all():
        failed = member.epoch
        member.stand(start)
        chunk = _before_divergence(member, space, failed)
    return _told(member, chunk)


def _before_divergence(member: Member, space: Workspace, failed: int) -> Chunk:
    """Again, up to the last epoch whose figures and parameters are finite; that of `failed` is not.

    A number that is not finite stays so: what is tried is how many of the last epochs are bad, 1, 2, 4 ...,
    and from there how many more are good.
    """
    good, told, back = member.snapshot(), Chunk(), 1
    while failed - good.epoch > 1:
        tried = max(good.epoch + 1, failed - back)
        chunk = slices.run(member, space, tried, never)
        if chunk.status != t.DIVERGED and np.isfinite(member.theta).all():
            good, back = member.snapshot(), (failed - tried) // 2
            told.join(chunk)
        else:
            failed, back = member.epoch, 2 * back
            member.stand(good)
    told.status = t.DIVERGED
    return told


def _told(member: Member, chunk: Chunk) -> ChunkResult:
    names = history_metrics(member.config)
    why = "interrupted" if chunk.stopped else _WHY.get(chunk.status)
    improvements = Improvements(chunk.improvements)
    best = None
    if improvements:
        figures = [float(member.stands[t.BEST_LOSS]), *(float(member.stands[t.BEST_FIGURE]) for _ in names)]
        kept = member.layout.named(member.best)
        best = Best(int(member.cursor[t.BEST_EPOCH]), dict(zip(("loss", *names), figures, strict=True)), kept)
    return ChunkResult(member.epoch, Rows(chunk.rows, figures=len(names)), improvements, best, why)
