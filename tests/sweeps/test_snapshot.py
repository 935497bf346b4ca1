"""A cohort that is being trained, looked at by the thread that saves it."""

import threading
from types import SimpleNamespace

from mlprun.engines import State
from mlprun.sweeps.outcome import Known, Outcome, Standing
from mlprun.sweeps.workshop import Batch

TRIALS = 20_000


def test_a_trial_that_ends_while_its_cohort_is_saved_is_in_the_file_once():
    cohort = SimpleNamespace(members=[SimpleNamespace(trial=number) for number in range(TRIALS)])
    stand = {number: Standing(number, State(1, {}), None, None, None, 0.0) for number in range(TRIALS)}
    batch = Batch(cohort, Known(standings=stand), None)

    def end():
        for number in range(TRIALS):
            batch.take(number, Outcome(number, "finished"))

    thread = threading.Thread(target=end)
    thread.start()
    seen = set()
    while thread.is_alive():
        snapshot = batch.snapshot()
        numbers = sorted(one.trial for one in (*snapshot.ended, *snapshot.standings))
        assert numbers == list(range(TRIALS))
        seen.add(len(snapshot.ended))
    assert len(seen) > 2
