"""The figures a run ends with: of its best and its last epoch, on every split, with baselines beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlprun import evaluation
from mlprun.experiment import SPLITS

if TYPE_CHECKING:
    from mlprun.engines import Best, State
    from mlprun.engines.contract import Arrays
    from mlprun.experiment import Experiment


def final_figures(experiment: Experiment, state: State, best: Best | None, *, device: str) -> dict[str, Any]:
    """What status.json keeps: `best` (None without dev rows), `last` and `baselines`, with `splits`.

    `positive` names the class, of two, that precision, recall and the like are of.
    """
    config = experiment.config
    last = _measured(experiment, state.model, state.epoch, device)
    first = None
    if best is not None:
        name = config.best.metric.removeprefix("dev_")
        first = {
            "epoch": best.epoch,
            "metric": config.best.metric,
            "value": best.figures[name],
            "splits": last
            if best.epoch == state.epoch
            else _measured(experiment, best.model, best.epoch, device),
        }
    rows = evaluation.rows_of(experiment, SPLITS, epoch=state.epoch, device="cpu")
    classes = experiment.classes or ()
    return {
        "positive": classes[1] if len(classes) == 2 else None,
        "best": first,
        "last": {"epoch": state.epoch, "splits": last},
        "baselines": evaluation.baselines(experiment, rows),
    }


def _measured(experiment: Experiment, model: Arrays, epoch: int, device: str) -> evaluation.Figures:
    network = experiment.blank_network()
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in model.items()})
    network.to(device).eval()
    rows = evaluation.rows_of(experiment, SPLITS, epoch=epoch, device=device)
    return evaluation.figures(experiment, network, rows)
