"""A cohort that is being trained, looked at by the thread that saves it."""

import threading
from types import SimpleNamespace

from mlprun.engines import State
from mlprun.sweeps.cohort_file import TrialResult
from mlprun.sweeps.executors import CohortRun
from mlprun.sweeps.trials import ResumeState

TRIALS = 20_000


def test_a_trial_that_ends_while_its_cohort_is_saved_is_in_the_file_once():
    cohort = SimpleNamespace(members=[SimpleNamespace(trial=number) for number in range(TRIALS)])
    state = State(1, {})
    paused = {number: TrialResult(number, "paused", state=state) for number in range(TRIALS)}
    run = CohortRun(cohort, ResumeState(paused), 1)

    def end():
        for number in range(TRIALS):
            run.accept([TrialResult(number, "finished")])

    thread = threading.Thread(target=end)
    thread.start()
    seen = set()
    while thread.is_alive():
        results = run.results()
        assert [one.trial for one in results] == list(range(TRIALS))
        seen.add(sum(one.has_ended for one in results))
    assert len(seen) > 2
