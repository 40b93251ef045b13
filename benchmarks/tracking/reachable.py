"""Whether a shared tracking store can be used, found out before anything is written.

One that goes away later stops no training (`mirror.py`); one that is not there at the start was most likely mistyped.
"""

from __future__ import annotations

import os
import re
from importlib import metadata
from urllib.parse import unquote, urlsplit, urlunsplit

from benchmarks.machine.databases import check_database
from benchmarks.machine.redaction import without_credentials
from benchmarks.tracking.mirrored import OFF, SERVERS
from gan.errors import InputError

SECONDS = 5.0  # that an answer may take
MOST = 10_000  # characters of one
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
    theirs, ours = _ask(place, uri, "/version").strip(), metadata.version("mlflow")
    if not re.fullmatch(r"\d+\.\d+[\w.+-]*", theirs):
        raise InputError(f"{place}: what answers there is no MLflow server; expected one, {LATER}")
    if _release(theirs) != _release(ours):
        raise InputError(
            f"{place}: the server is MLflow {theirs} and this is MLflow {ours}; expected the same release, "
            f"{'.'.join(_release(theirs))} here or {'.'.join(_release(ours))} there"
        )
    _ask(place, uri, "/api/2.0/mlflow/experiments/search?max_results=1")


def _release(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])


def _ask(place: str, uri: str, what: str) -> str:
    """Return what a server answers to a GET, asked as MLflow's own client asks."""
    import requests

    parts = urlsplit(uri)
    bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))
    own = os.environ
    user = unquote(parts.username) if parts.username else own.get("MLFLOW_TRACKING_USERNAME")
    password = unquote(parts.password) if parts.password else own.get("MLFLOW_TRACKING_PASSWORD", "")
    token = own.get("MLFLOW_TRACKING_TOKEN")
    insecure = own.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    try:
        answer = requests.get(
            bare + what,
            auth=(user, password) if user and not token else None,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            verify=own.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or not insecure,
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
    return answer.text[:MOST]


def _innermost(error: BaseException) -> str:
    """Return what the system said, without the layers that passed it on."""
    while (inner := getattr(error, "reason", None) or error.__cause__ or error.__context__) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
