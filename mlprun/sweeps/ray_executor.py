"""Workers of a Ray cluster: batches are tasks, whose results are gathered in this process.

Ray restarts a task when its worker or its whole machine dies, and recomputes a result that died with it; a
result is taken from its task once. So nothing is lost and nothing counts twice.
"""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import ray
from ray import exceptions

from mlprun.errors import DeviceError, MlprunError, OutOfMemoryError, UsageError, first_line
from mlprun.storage import provenance
from mlprun.sweeps.executors import cores
from mlprun.sweeps.trials import BatchResult, differing_versions, run_turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlprun.sweeps.trials import OnCheckpoint, TrialBatch

MAX_RETRIES = 10
"""restarts of a task whose worker died; one that always kills its worker must end"""
CONNECT_SECONDS = 5.0
"""that a cluster has to accept a connection"""
POLL_SECONDS = 0.1
"""between two looks at whether to stop"""
_GOES_ON = "the same command resumes from what is saved"


class RayWorkers:
    """A Ray cluster that trains batches, a local one without an address.

    Uses the connection of a process that has one. Raises DeviceError for a cluster that does not answer.
    """

    max_batch, batch_seconds = 1000, 5.0

    def __init__(self, *, address: str | None = None) -> None:
        self._closing = threading.Event()
        self._futures: dict[Any, Future[BatchResult]] = {}
        """of the results of tasks"""
        self._failure: Exception | None = None
        self._lock, self._news = threading.Lock(), threading.Event()
        self._owns_connection = not ray.is_initialized()
        if self._owns_connection:
            _connect(address)
        self._function = ray.remote(max_retries=MAX_RETRIES)(_train)
        self._versions = provenance.versions()
        self._gatherer = threading.Thread(target=self._gather, daemon=True)
        self._gatherer.start()

    def cores(self) -> int:
        """Return the number of cores of the cluster."""
        with _translated_errors():
            return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def submit(self, batch: TrialBatch, _: OnCheckpoint) -> Future[BatchResult]:
        """Train a turn of a batch. Raises DeviceError for a cluster that is lost."""
        with _translated_errors(), self._lock:
            if self._failure is not None:
                raise self._failure
            nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            largest = max((resources.get("CPU", 1) for resources in nodes), default=1)
            function = self._function.options(
                num_cpus=min(batch.threads, largest), num_gpus=0 if batch.device == "cpu" else 1
            )
            future = self._futures[function.remote(batch, self._versions)] = Future()
        self._news.set()
        return future

    def halt(self) -> None:
        """Cancel every task."""
        self._closing.set()
        self._news.set()

    def _gather(self) -> None:
        """Receive results as they come until all is halted; then cancel the other tasks."""
        try:
            with _translated_errors():
                while not self._closing.is_set():
                    self._poll()
        except Exception as error:  # noqa: BLE001 -- raised again by the thread that waits for a cohort
            self._failure = error
        with self._lock:
            futures = dict(self._futures)
            self._futures.clear()
        for reference, future in futures.items():
            with suppress(Exception):  # a cluster that is lost trains nothing more
                ray.cancel(reference, force=True)
            if self._failure is None:
                future.set_result(BatchResult([]))
            else:
                future.set_exception(self._failure)

    def _poll(self) -> None:
        """Receive what has come within a moment, or wait until there is a task to wait for."""
        with self._lock:
            references = list(self._futures)
        if not references:
            self._news.wait()
            self._news.clear()
            return
        for reference in ray.wait(references, num_returns=1, timeout=POLL_SECONDS)[0]:
            with self._lock:
                future = self._futures.pop(reference)
            try:
                result: BatchResult | str = ray.get(reference)
                if isinstance(result, str):
                    what = f"a worker computes with {result}, which may change the figures"
                    raise DeviceError("--on ray", what, "install the same versions on every machine")  # noqa: TRY301
            except Exception as error:  # noqa: BLE001 -- raised again by the thread that waits for the cohort
                future.set_exception(_translate(error))
            else:
                future.set_result(result)

    def close(self) -> None:
        """Wait until nothing is received any more, and leave the cluster."""
        self.halt()
        self._gatherer.join()
        if self._owns_connection:
            ray.shutdown()


def _train(batch: TrialBatch, versions: Mapping[str, str | None]) -> BatchResult | str:
    """Train a turn of a batch in a worker, or return the versions in which the worker differs."""
    return differing_versions(versions) or run_turn(batch)


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise DeviceError if the cluster does not answer any more."""
    try:
        yield
    except MlprunError:
        raise
    except Exception as error:
        what = f"the cluster was lost: {type(error).__name__}: {first_line(error)}"
        raise DeviceError("--on ray", what, _GOES_ON) from error


def _translate(error: Exception) -> Exception:
    """Return the error to report for one of Ray."""
    if isinstance(error, exceptions.OutOfMemoryError):
        what = "a worker ran out of memory again and again"
        return OutOfMemoryError("--on ray", what, f"give it more, or fewer tasks at once; {_GOES_ON}")
    if isinstance(error, exceptions.RayTaskError):
        cause: object = error.cause
        if isinstance(cause, ImportError):
            what = f"a worker cannot load mlprun: {first_line(cause)}"
            return DeviceError("--on ray", what, "install mlprun on every machine of the cluster")
    elif isinstance(error, exceptions.RayError):
        return DeviceError("--on ray", f"a task was lost for good: {first_line(error)}", _GOES_ON)
    return error


def _connect(address: str | None) -> None:
    """Connect to the cluster at `address`, or start one on this machine."""
    if address is not None:
        _refuse_unreachable(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a local cluster reports to nobody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's default in future
    local: dict[str, Any] = {"num_cpus": cores(), "include_dashboard": False} if address is None else {}
    former = signal.getsignal(signal.SIGTERM)
    try:
        with tempfile.TemporaryDirectory(prefix="mlprun-") as empty:
            # without a folder of their own, workers import modules from the driver's working directory
            environment = {"working_dir": empty}
            ray.init(
                address or "local",
                log_to_driver=False,
                logging_level="ERROR",
                runtime_env=environment,
                **local,
            )
    except (ConnectionError, RuntimeError, ValueError, exceptions.RayError) as error:
        what = f"no Ray cluster at {address or 'this machine'}: {first_line(error)}"
        raise DeviceError("--on ray", what, "see `ray status`") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, former)  # Ray takes it, and a sweep that is stopped saves first


def _refuse_unreachable(address: str) -> None:
    """Raise an error at once for what Ray takes a minute for. `auto` is an address that Ray looks up."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        what = f"{address!r} is no address of a cluster"
        raise UsageError("--address", what, "expected HOST:PORT, ray://HOST:PORT or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        what = f"no Ray cluster answers at {address}: {error}"
        remedy = "start one with `ray start --head`, or leave out --address for one on this machine"
        raise DeviceError("--on ray", what, remedy) from error
