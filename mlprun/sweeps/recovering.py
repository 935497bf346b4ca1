"""What a process that died in a sweep's folder did not come to do there, done before anything else.

A sweep ends in this order: the file of its last cohort, that cohort's trials in the database, the database as
one ordinary file, the status. A process may die between any two of these, and nothing is left to be trained
that would lead to the rest; the same goes for what stood of a cohort that has ended since.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlprun.sweeps import seal

if TYPE_CHECKING:
    from mlprun.sweeps.folder import SweepFolder


def recover(place: SweepFolder) -> None:
    """Remove what stood of cohorts that have ended, and end a sweep all of whose trials have.

    The caller holds the folder's lock. Raises CheckpointError and FileError.
    """
    with place.results() as results:
        unended, total = results.unended(), results.description.total
        over = not unended and sum(results.counts().values()) == total
    for cohort in place.partials():
        if cohort not in unended:
            place.remove_partial(cohort)
    if over and not seal.is_there(place.database):
        with place.writer() as writer:
            writer.close(final=True)
    status = place.status()
    if over and (status.state != "finished" or status.done != total or status.kept):
        place.write_status(replace(status, state="finished", done=total, total=total, reason="", kept=0))
