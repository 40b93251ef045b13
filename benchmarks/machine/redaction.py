"""Credentials never leave the process: they are struck out of every text that is printed, logged or kept."""

from __future__ import annotations

import re
import sys
import traceback
from types import TracebackType

HIDDEN = "***"

# A password may hold an @, a slash, quotes or spaces, whether they are allowed there or not. So all from :// to the
# last @ of the line goes: rather a word too many than half a password.
_USER_INFO = re.compile(r"(://)[^\r\n]*@")
_ENCODED_USER_INFO = re.compile(r"(%3a%2f%2f)\S*(%40)", re.IGNORECASE)
_WITHOUT_SCHEME = re.compile(r"(:)(?!//)[ \t]*(?:(?!://)\S)*@")  # user:password@host
_SECRET_NAME = r"[\w.-]*(?:passw(?:or)?d|passphrase|pwd|token|secret|api_?key)[\w.-]*"
_SECRET = re.compile(
    rf"({_SECRET_NAME})(\s*(?:=|%3d)\s*|['\"]\s*[:=]\s*)(?:'[^'\r\n]*'|\"[^\"\r\n]*\")?[^&\s]*", re.IGNORECASE
)
_AUTHORIZATION = re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?)(?:(?:basic|bearer)\s+)?[^\s'\"]+", re.IGNORECASE)


def without_credentials(text: object) -> str:
    """Return a text in which *** stands for every user and password of a URL, and for every secret it names.

    Struck out are what stands before the @ in a URL, encoded or not, also without a scheme; the values of
    parameters such as `password=`; and what follows `Authorization:`.

    Args:
        text: A URL, a message, an exception; whatever reads well as a string.
    """
    shown = _USER_INFO.sub(rf"\1{HIDDEN}@", str(text))
    shown = _ENCODED_USER_INFO.sub(rf"\1{HIDDEN}\2", shown)
    shown = _WITHOUT_SCHEME.sub(rf"\1{HIDDEN}@", shown)
    shown = _AUTHORIZATION.sub(rf"\1{HIDDEN}", shown)
    return _SECRET.sub(rf"\1\2{HIDDEN}", shown)


def guard_tracebacks() -> None:
    """Strike credentials out of what Python prints of an exception that nobody caught."""

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        print(without_credentials("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)

    sys.excepthook = show
