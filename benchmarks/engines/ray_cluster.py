"""The Ray cluster that a command uses: found, or started on this machine, once for all its studies."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

import grpc
import ray

from benchmarks.engines.work import ONE_THREAD
from benchmarks.machine.interrupts import SIGNALS
from gan.errors import InputError

CONNECT_SECONDS = 10.0  # for an address to answer
ATTEMPTS = 3  # to have a server for a machine outside the cluster
_EXPECTED: Final = "expected auto on a machine of a running cluster, HOST:PORT of its head, or ray://HOST:10001"


def connect(address: str | None, workers: int) -> None:
    """Connect to a Ray cluster, once for all studies, or start one on this machine.

    Args:
        address: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``; None starts one.
        workers: CPUs of the one that is started.

    Raises:
        InputError: Nobody answers there, or only a cluster of another version.
    """
    if ray.is_initialized():
        return
    if address not in (None, "auto"):
        _answers(address)
    # Without "local" Ray would look for a cluster that somebody else left on this machine.
    own: dict[str, Any] = {"address": "local", "num_cpus": workers, "include_dashboard": False}
    more: dict[str, Any] = {"address": address} if address else own
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        with _quiet():
            _init(more)
    except Exception as error:  # Ray raises many kinds, and a cluster of another version more
        reason = " ".join(str(error).split())
        raise InputError(
            f"--address {address or 'none'}: no Ray cluster to use, or one of another token ({reason}); {_EXPECTED}"
        ) from None
    finally:
        for number, handler in handlers.items():  # to stop well is our business
            signal.signal(number, handler)


def _init(more: dict[str, Any]) -> None:
    """Call `ray.init`, again where a cluster did not get a server to run for a machine outside it.

    The head forks such a server from a process with threads in gRPC; now and then it dies of that before its first
    line (https://github.com/grpc/grpc/blob/master/doc/fork_support.md), and the next one lives.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            ray.init(
                **more,
                runtime_env={"env_vars": ONE_THREAD},
                log_to_driver=False,
                logging_level=logging.CRITICAL,
            )
            return
        except ConnectionAbortedError:
            if attempt == ATTEMPTS:
                raise


@contextmanager
def _quiet() -> Generator[None]:
    """Let nothing through that is written to standard error, by whatever library: Ray's core heeds no setting."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _answers(address: str) -> None:
    """Find out in seconds whether Ray may be there: `ray.init` itself would wait for minutes.

    Raises:
        InputError: It is no address, or nobody answers there, or something that does not speak gRPC.
    """
    place = address.removeprefix("ray://")
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        if not os.environ.get("RAY_USE_TLS"):
            with grpc.insecure_channel(place) as channel:
                grpc.channel_ready_future(channel).result(CONNECT_SECONDS)
    except ValueError:
        raise InputError(f"--address {address}: no address; {_EXPECTED}") from None
    except grpc.FutureTimeoutError:
        raise InputError(f"--address {address}: what answers there is no Ray cluster; {_EXPECTED}") from None
    except OSError as error:
        raise InputError(
            f"--address {address}: nobody answers there ({error.strerror or error}); {_EXPECTED}"
        ) from None


def cpus() -> int:
    """Return how many CPUs the cluster has now."""
    return int(ray.cluster_resources().get("CPU", 0))


def device_of_cluster(asked: str) -> str:
    """Return the kind of device to train on.

    Args:
        asked: ``auto`` (CUDA where the cluster has GPUs), ``cpu`` or ``cuda``.

    Raises:
        InputError: CUDA asked for, and no machine of the cluster has it.
    """
    gpus = ray.cluster_resources().get("GPU", 0)
    if asked == "cuda" and not gpus:
        raise InputError("--device cuda: no machine of the Ray cluster has a GPU; expected auto or cpu")
    return "cuda" if gpus and asked == "auto" else asked.replace("auto", "cpu")
