"""What a sweep's folder says it was started with, and what is different where it is continued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlprun import schema
from mlprun.engines import device as devices
from mlprun.errors import DataError
from mlprun.storage import canonical, provenance
from mlprun.training.metadata import code_of, device_kind, differing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlprun.experiment import Experiment
    from mlprun.sweeps.plan import Plan


def surroundings(plan: Plan) -> dict[str, Any]:
    """What may change a sweep's bits and is not in its config, as run.json has it."""
    asked = dict.fromkeys(cohort.kind.device for cohort in plan.cohorts)
    code = code_of(plan.base)
    return {
        "code": {name: canonical.digest(data.hex()) for name, data in code.items()},
        "devices": {name: device_kind(devices.resolve(name)) for name in asked},
        **provenance.environment(),
    }


def differences(record: Mapping[str, Any], plan: Plan) -> list[str]:
    """What may change a sweep's bits and is not what run.json says, in words; rows are not looked at."""
    now, then = surroundings(plan), record.get("devices", {})
    # what is swept later may need devices that the record could not know
    known = {name: kind for name, kind in now["devices"].items() if name in then}
    return differing(record, {**now, "devices": {**then, **known}})


def rows(plan: Plan, place: str) -> dict[str, str]:
    """Digests of the rows of a sweep's data, by digests of what they are rows of, for a folder at `place`."""
    return {key: experiment.digest() for key, experiment in _data(plan, place)}


def _data(plan: Plan, place: str) -> Iterator[tuple[str, Experiment]]:
    """An experiment with each kind of data, by what its config says of that."""
    for experiment in plan.configs.prototypes:
        config = experiment.config
        dataset = schema.dump(config, place)["dataset"]
        loss, architecture = config.loss.name, config.architecture
        yield canonical.digest([dataset, loss, config.training.dtype, architecture.vocabulary]), experiment


def refuse_other_rows(known: Mapping[str, str], plan: Plan, place: str, found: list[str]) -> None:
    """Raise DataError for rows that changed under a sweep, as a run that is resumed does.

    What a generator draws may differ where something else does: that is said in `found`.
    """
    for key, experiment in _data(plan, place):
        if key not in known or experiment.digest() == known[key]:
            continue
        path = getattr(experiment.config.dataset, "path", None)
        if path is None and found:
            found.append("the generated rows were others")
            return
        what = "its rows are no longer those that the sweep was started with"
        remedy = "put the former data back, or run the sweep on this one with another --out"
        raise DataError(path or "dataset", what, remedy)
