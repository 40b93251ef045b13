"""What many machines take, by the plan's own estimate."""

from __future__ import annotations

import json

from benchmarks.planning import cost


def test_no_study_takes_less_than_its_longest_cohort() -> None:
    plan = {"study": "s", "to_train": 8, "cohorts": [{}] * 8, "estimated_disk_mb": 1.0}
    plan |= {"estimated_core_seconds": 7200, "longest_cohort_seconds": 900}
    few, many = dict(plan), dict(plan)
    cost.spread([few], 2, 2)
    cost.spread([many], 100, 2)
    assert (few["estimated_hours"], few["limited_by"]) == (0.5, "the work in all")
    assert (many["estimated_hours"], many["limited_by"]) == (0.25, "the longest cohort")
    assert "longest cohort takes 15.0 minutes" in cost.told([many]) and "minutes" not in cost.told([few])
    assert json.dumps(many)
