"""One small study that is really trained, run undisturbed once for all that disturb it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from . import processes
from .kills import Study, undisturbed


@pytest.fixture(scope="session")
def stormy(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of two cohorts, run with two workers and nothing in its way."""
    if not processes.HERE:
        pytest.skip("processes are found by /proc")
    return undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="session")
def unreported(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The same study, of which no report is made: that takes as long as its training."""
    if not processes.HERE:
        pytest.skip("processes are found by /proc")
    alone = undisturbed(tmp_path_factory.mktemp("unreported"), "--no-report", workers=1)
    return replace(alone, typed=alone.by(workers=2))
