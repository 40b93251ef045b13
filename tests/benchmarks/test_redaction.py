"""No password survives in anything that is shown or kept."""

from __future__ import annotations

import json
import string
import subprocess
import sys
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from benchmarks.machine.redaction import without_credentials
from benchmarks.tracking import check_uri
from gan.errors import InputError

SCHEMES = ("http", "https", "postgresql", "postgresql+psycopg2", "mysql+pymysql", "sqlite", "s3")
MARK = "sEcReT"  # in every password, so that it is found again in what is left
RAW = st.text(st.sampled_from(string.ascii_letters + string.digits + "@:/?#&=%'\"!$^*()[]{}|;,.~` "), max_size=12)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
USERS = st.text(st.sampled_from(string.ascii_letters + "._-"), min_size=1, max_size=8)
TEXTS = st.sampled_from(
    [
        "{}",
        "API request to {} failed",
        "'{}' cannot be reached: timeout",
        "E: {}: port 5 ({})",
        '{{"uri": "{}"}}',
        "a\n{}\nb",
    ]
)


@given(st.sampled_from(SCHEMES), USERS, RAW, RAW, TEXTS)
@example("postgresql", "me", "p@ss", "word", "{}")
@example("http", "me", "my ", " pass", "{}")
@example("http", "me", "1/", "@", "port {}")
def test_no_password_of_a_url_survives(scheme: str, user: str, before: str, after: str, text: str) -> None:
    url = f"{scheme}://{user}:{before}{MARK}{after}@host:5432/runs?a=b"
    shown = without_credentials(text.format(url, url))
    assert MARK not in shown
    assert "***@host" in shown


@given(st.sampled_from(SCHEMES), USERS, ANY, ANY, TEXTS)
def test_no_encoded_password_survives(scheme: str, user: str, before: str, after: str, text: str) -> None:
    password = quote(f"{before}{MARK}{after}", safe="")
    url = f"{scheme}://{user}:{password}@host/runs"
    for said in (url, quote(url, safe=""), f"{scheme}://host/runs?user={user}&password={password}&x=y"):
        assert MARK not in without_credentials(text.format(said, said))
    assert MARK not in without_credentials(ValueError(f"{url} and {url}"))
    assert MARK not in without_credentials(f"{user}:{password}@host/runs")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:secret@db:5432/t?password=x", "postgresql://***@db:5432/t?password=***"),
        ("postgresql://me:se@cret@db/t", "postgresql://***@db/t"),
        ("http://token@host/api", "http://***@host/api"),
        ("no url : secret@somewhere", "no url :***@somewhere"),
        ("OSError: http://me:pw@host: refused", "OSError: http://***@host: refused"),
        ("Authorization: Basic bWU6cHc=", "Authorization: ***"),
        ("{'Authorization': 'Bearer abc'}", "{'Authorization': '***'}"),
        ("mssql://db?odbc_connect=DRIVER%3Dx%3BPWD%3Dpw%3B", "mssql://db?odbc_connect=DRIVER%3Dx%3BPWD%3D***"),
        ("connect(password='p w', host='h')", "connect(password=*** host='h')"),
    ],
)
def test_what_stands_for_credentials(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
    assert without_credentials(shown) == shown


@given(st.sampled_from(["127.0.0.1:5000/#/experiments/1", "host", "[::1]:80/api"]), st.sampled_from(SCHEMES))
def test_what_holds_no_credentials_stays_as_it_is(rest: str, scheme: str) -> None:
    for text in (
        f"{scheme}://{rest}",
        f"MLflow UI on {scheme}://{rest} (Ctrl-C stops it)",
        f"error: {rest}: no, at all",
    ):
        assert without_credentials(text) == text


def test_what_sqlalchemy_says_of_a_url_is_safe() -> None:
    url = make_url(f"postgresql://me:{MARK}%40@host/db?sslpassword={MARK}")
    for said in (str(url), repr(url), url.render_as_string(hide_password=False), json.dumps(dict(url.query))):
        assert MARK not in without_credentials(said)


@given(RAW, RAW, st.sampled_from([*SCHEMES, "htp", "ftp", ""]))
def test_no_refused_tracking_uri_shows_its_password(before: str, after: str, scheme: str) -> None:
    uri = f"{scheme}://me:{before}{MARK}{after}@host:port"
    try:
        check_uri(uri)
    except InputError as error:
        assert MARK not in without_credentials(error)


def test_no_traceback_shows_a_password() -> None:
    script = (
        "from benchmarks.machine.redaction import guard_tracebacks as guard\n"
        "guard()\n"
        f"raise OSError('postgresql://me:{MARK}@host is away') from ValueError('password={MARK}')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "postgresql://***@host is away" in done.stderr
    assert MARK not in done.stderr and "Traceback" in done.stderr
