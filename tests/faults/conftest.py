"""The command line, which must answer; one small study that is trained undisturbed, for all that disturb it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ..typed import Ganbench, Said
from . import processes
from .kills import Study, undisturbed
from .refusals import answering


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


@pytest.fixture
def ganbench(ganbench: Ganbench) -> Ganbench:
    """Run the command line as elsewhere, and fail where no answer comes."""

    def run(*words: str) -> Said:
        with answering(words):
            return ganbench(*words)

    return run
