"""One small study that is really trained, run undisturbed once for all that disturb it."""

from __future__ import annotations

import pytest

from . import processes
from .kills import Study, undisturbed


@pytest.fixture(scope="session")
def stormy(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of two cohorts, run with two workers and nothing in its way."""
    if not processes.HERE:
        pytest.skip("processes are found by /proc")
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))
