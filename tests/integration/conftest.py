"""The programs that these tests need, as fixtures; a test is skipped where its program is not installed."""

from __future__ import annotations

from .browser import browser, page, shoot
from .cluster import nodes
from .postgres import postgres

__all__ = ["browser", "nodes", "page", "postgres", "shoot"]
