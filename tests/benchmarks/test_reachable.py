"""Tracking stores and databases that cannot be used are refused in one line, without credentials."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from benchmarks.tracking import check_store, check_uri
from benchmarks.tuning.storage import check
from gan.errors import InputError

ASK = "/api/2.0/mlflow/experiments/search"


@contextmanager
def answering(answers: dict[str, tuple[int, str]]) -> Iterator[str]:
    """Serve fixed answers on 127.0.0.1; yield the address, with a user and a password in it."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, text = answers.get(self.path.partition("?")[0], (404, ""))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://me:secret@127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "3.4.1")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"/version": (200, "2.9.1")}, "the server is MLflow 2.9.1 and this is MLflow 3.4.1"),
        ({"/version": (200, "3.5.1")}, "the server is MLflow 3.5.1 and this is MLflow 3.4.1"),
        ({"/version": (200, "<html>")}, "no MLflow server"),
        ({}, "no MLflow server (HTTP 404)"),
        ({"/version": (401, "")}, "does not let us in (HTTP 401)"),
        ({"/version": (200, "3.4.1"), ASK: (403, "")}, "does not let us in (HTTP 403)"),
    ],
)
def test_a_server_that_cannot_be_used_is_refused(answers: dict[str, tuple[int, str]], said: str) -> None:
    with answering(answers) as uri, pytest.raises(InputError) as error:
        check_store(uri)
    assert said in str(error.value) and "secret" not in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("theirs", ["3.4.1", "3.4.0", "3.4.2.dev0\n"])
def test_a_server_of_the_same_release_is_taken(theirs: str) -> None:
    with answering({"/version": (200, theirs), ASK: (200, "{}")}) as uri:
        check_store(uri)


@pytest.mark.parametrize("url", ["http://me:secret@127.0.0.1:1", "postgresql://me:secret@127.0.0.1:1/runs"])
def test_an_address_nobody_answers_at_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="efused") as error:
        check_store(url)
    assert "secret" not in str(error.value) and "\n" not in str(error.value)


def test_a_missing_driver_is_named_with_what_installs_it(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    url = "postgresql://me:secret@127.0.0.1:1/runs"
    for refuse in (lambda: check_uri(url), lambda: check(tmp_path, url, {})):
        with pytest.raises(InputError, match=r'pip install "gan-stability\[postgres\]"') as error:
            refuse()
        assert "secret" not in str(error.value) and "\n" not in str(error.value)
