"""Cohorts as tasks of a Ray cluster, whose workers train and whose results this process gathers.

Ray starts a task again when its worker or its whole machine dies, and computes a result again that died with
it; a result is taken from its task once. So nothing is lost and nothing counts twice.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import ray
from ray import exceptions

from mlprun import engines
from mlprun.engines import device as devices
from mlprun.errors import DeviceError, MlprunError, OutOfMemoryError, UsageError
from mlprun.sweeps.launchers import pieces
from mlprun.sweeps.train import Course
from mlprun.sweeps.workshop import Batch, cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlprun.sweeps.launchers.pieces import Piece, Turn
    from mlprun.sweeps.outcome import Known
    from mlprun.sweeps.plan import Cohort, Plan

RETRIES = 10
"""how often Ray starts a task again whose worker died; one that always kills its worker must end"""
AHEAD = 2
"""tasks that wait or run for each core of the cluster"""
REACH = 5.0
"""seconds that a cluster has to accept a connection"""
LOOK = 0.1
"""seconds between two looks at whether to stop"""
_GOES_ON = "the same command goes on with what is saved"


class _Given(NamedTuple):
    """What a task of the cluster was given, of which cohort, and what starts another such task."""

    piece: Piece
    batch: Batch
    task: Any


class Ray:
    """Trains cohorts of a plan on a Ray cluster, a local one without an address.

    Uses the connection of a process that has one. Raises DeviceError for a cluster that does not answer.
    """

    def __init__(self, plan: Plan, *, address: str | None = None) -> None:
        self._plan, self._closing = plan, threading.Event()
        self._given: dict[Any, _Given] = {}
        self._failure: Exception | None = None
        self._lock, self._news = threading.Lock(), threading.Event()
        self._own = not ray.is_initialized()
        if self._own:
            _connect(address)
        self._task = ray.remote(max_retries=RETRIES)(_train)
        self._gatherer = threading.Thread(target=self._gather, daemon=True)
        self._gatherer.start()

    def has_room(self, begun: Sequence[Batch]) -> bool:
        """Whether the cluster's cores have less than enough to do."""
        with _asking():
            most = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        return len(begun) < most and len(self._given) < most

    def submit(self, cohort: Cohort, known: Known) -> Batch:
        """Begin with a cohort as `Launcher.submit` says. Raises DeviceError for a cluster that is lost."""
        device = devices.resolve(cohort.kind.device)
        batch = Batch(cohort, known, Course(engines.named(cohort.kind.engine), device, self._closing.is_set))
        with _asking():
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            largest = max((resources.get("CPU", 1) for resources in nodes), default=1)
            needs = {
                "num_cpus": min(cohort.kind.threads, largest),
                "num_gpus": 0 if device == "cpu" else 1,
            }
            task = self._task.options(**needs)
            for piece in pieces.cut(self._plan, cohort, known):
                self._give(_Given(piece, batch, task))
        return batch

    def _give(self, given: _Given) -> None:
        """Start a task."""
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._given[given.task.remote(given.piece)] = given
        self._news.set()

    def halt(self) -> None:
        """Cancel every task."""
        self._closing.set()
        self._news.set()

    def _gather(self) -> None:
        """Take results as they come, until there is to be an end; then let go of what is in the middle."""
        failure: Exception | None = None
        try:
            with _asking():
                while not self._closing.is_set():
                    self._look()
        except Exception as error:  # noqa: BLE001 -- raised again by the thread that waits for a cohort
            failure = error
        with self._lock:
            self._failure, given = failure, dict(self._given)
            self._given.clear()
        for reference, (piece, batch, _) in given.items():
            with suppress(Exception):  # a cluster that is lost trains nothing more
                ray.cancel(reference, force=True)
            _let_go(piece, batch, failure)

    def _look(self) -> None:
        """Take what has come for a moment, or wait until there is something to wait for."""
        with self._lock:
            waiting = list(self._given)
        if not waiting:
            self._news.wait()
            self._news.clear()
            return
        for reference in ray.wait(waiting, num_returns=1, timeout=LOOK)[0]:
            self._take(reference)

    def _take(self, reference: Any) -> None:
        """Hand what a task's turn came to to its cohort, and start another for what is left."""
        with self._lock:
            given = self._given.pop(reference)
        piece, batch, _ = given
        try:
            turn: Turn | str = ray.get(reference)
            if isinstance(turn, str):
                what = f"a worker computes with {turn}, which may change the figures"
                raise DeviceError("--on ray", what, "install the same versions on every machine")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001 -- raised again by the thread that waits for the cohort
            _let_go(piece, batch, _told(error))
            return
        for outcome in turn.came_out:
            batch.take(outcome.trial, outcome)
        if turn.standing is not None:
            batch.stands(turn.standing)
        if (left := pieces.rest(piece, turn)) is not None:
            try:
                self._give(given._replace(piece=left))
            except Exception as error:
                _let_go(left, batch, _lost(error))
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.halt()
        self._gatherer.join()
        if self._own:
            ray.shutdown()


def _train(piece: Piece) -> Turn | str:
    """A task: what a turn of a piece came to, or in what the worker differs from the driver."""
    return pieces.differing(piece) or pieces.carry_out(piece)


def _let_go(piece: Piece, batch: Batch, error: BaseException | None = None) -> None:
    for trial, *_ in piece.members:
        batch.take(trial, None, error)


@contextmanager
def _asking() -> Iterator[None]:
    """Raises DeviceError where the cluster does not answer any more."""
    try:
        yield
    except MlprunError:
        raise
    except Exception as error:
        raise _lost(error) from error


def _lost(error: Exception) -> DeviceError:
    what = f"the cluster was lost: {type(error).__name__}: {_line(error)}"
    return DeviceError("--on ray", what, _GOES_ON)


def _told(error: Exception) -> Exception:
    """What Ray raises, as mlprun tells of it."""
    if isinstance(error, exceptions.OutOfMemoryError):
        what = "a worker ran out of memory again and again"
        return OutOfMemoryError("--on ray", what, f"give it more, or fewer tasks at once; {_GOES_ON}")
    if isinstance(error, exceptions.RayTaskError):
        cause: object = error.cause
        if isinstance(cause, ImportError):
            what = f"a worker cannot load mlprun: {_line(cause)}"
            return DeviceError("--on ray", what, "install mlprun on every machine of the cluster")
    elif isinstance(error, exceptions.RayError):
        return DeviceError("--on ray", f"a task was lost for good: {_line(error)}", _GOES_ON)
    return error


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _connect(address: str | None) -> None:
    """Connect to the cluster at `address`, or start one on this machine."""
    if address is not None:
        _refuse_unreachable(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a local cluster reports to nobody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do, without its warning
    own: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False} if address is None else {}
    former = signal.getsignal(signal.SIGTERM)
    try:
        with tempfile.TemporaryDirectory(prefix="mlprun-") as empty:
            # without a folder of their own, workers import modules from the driver's working directory
            environment = {"working_dir": empty}
            ray.init(
                address or "local", log_to_driver=False, logging_level="ERROR", runtime_env=environment, **own
            )
    except (ConnectionError, RuntimeError, ValueError, exceptions.RayError) as error:
        what = f"no Ray cluster at {address or 'this machine'}: {_line(error)}"
        raise DeviceError("--on ray", what, "see `ray status`") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, former)  # Ray takes it, and a sweep that is stopped saves first


def _refuse_unreachable(address: str) -> None:
    """Find at once what Ray takes a minute for. `auto` is an address that Ray looks up."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        what = f"{address!r} is no address of a cluster"
        raise UsageError("--address", what, "expected HOST:PORT, ray://HOST:PORT or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except (OSError, OverflowError) as error:
        what = f"no Ray cluster answers at {address}: {error}"
        remedy = "start one with `ray start --head`, or leave out --address for one on this machine"
        raise DeviceError("--on ray", what, remedy) from error
