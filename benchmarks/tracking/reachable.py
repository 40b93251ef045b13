"""Whether a shared tracking store can be used, found out before anything is written.

One that goes away later stops no training (`mirror.py`); one that is not there at the start was most likely mistyped.
"""

from __future__ import annotations

import os
import re
from importlib import metadata

from benchmarks.machine.databases import check_database
from benchmarks.machine.redaction import without_credentials
from benchmarks.tracking.mirrored import OFF, SERVERS
from gan.errors import InputError

SECONDS = 5.0  # that an answer may take
LATER = "or none: `ganbench sync --tracking-uri` brings a store up to date at any time"


def check_store(uri: str | None) -> None:
    """Refuse a server or a server's database that does not answer, is of another version, or does not let us in.

    Args:
        uri: What was given as `--tracking-uri`, from `check_uri`; a file is not looked at.

    Raises:
        InputError: Naming what is wrong, and of versions both.
    """
    if uri is None or uri == OFF or uri.startswith("sqlite"):
        return
    if not uri.startswith(SERVERS):
        check_database("--tracking-uri", uri, "experiments")
        return
    place = f"--tracking-uri {without_credentials(uri)}"
    there, here = _ask(place, uri, "/version").strip(), metadata.version("mlflow")
    if not re.fullmatch(r"\d+\.\d+[\w.+-]{,40}", there):
        raise InputError(f"{place}: what answers there is no MLflow server; expected one, {LATER}")
    (release, expected) = (".".join(version.split(".")[:2]) for version in (there, here))
    if release != expected:
        raise InputError(
            f"{place}: the server is MLflow {there} and this is MLflow {here}; expected the same release, "
            f"{release} here or {expected} there"
        )
    _ask(place, uri, "/api/2.0/mlflow/experiments/search?max_results=1")


def _ask(place: str, uri: str, what: str) -> str:
    """Return what a server answers to a GET, asked as MLflow's own client asks: its variables give credentials."""
    import requests

    user, password, token, certificate, insecure = (
        os.environ.get(f"MLFLOW_TRACKING_{name}", "")
        for name in ("USERNAME", "PASSWORD", "TOKEN", "SERVER_CERT_PATH", "INSECURE_TLS")
    )
    in_uri = "@" in uri  # which `requests` takes by itself
    try:
        answer = requests.get(
            uri.rstrip("/") + what,
            auth=(user, password) if user and not token and not in_uri else None,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            verify=certificate or insecure.lower() not in ("true", "1"),
            timeout=SECONDS,
        )
    except requests.RequestException as error:
        reason = without_credentials(_innermost(error))
        raise InputError(f"{place}: no server answers there ({reason}); expected one that does, {LATER}") from None
    if answer.status_code in (401, 403):
        raise InputError(
            f"{place}: the server does not let us in (HTTP {answer.status_code}); expected MLFLOW_TRACKING_USERNAME "
            "and MLFLOW_TRACKING_PASSWORD of a user who may write, and this name among its --allowed-hosts"
        )
    if not answer.ok:
        raise InputError(
            f"{place}: what answers there is no MLflow server (HTTP {answer.status_code}); expected one, {LATER}"
        )
    return answer.text


def _innermost(error: BaseException) -> str:
    """Return what the system said, without the layers that passed it on."""
    while isinstance(inner := getattr(error, "reason", None) or error.__cause__ or error.__context__, BaseException):
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
