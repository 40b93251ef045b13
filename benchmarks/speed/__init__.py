"""How fast the engine is, beside the loop a user would write: `ganbench speed`.

`plain.py` has the loops, `work.py` what is timed, `contenders.py` the processes that do it in turn, `peaks.py` what the
machine can do, `roofline.py` what a step must do, `processes.py` whole studies, `growth.py` how time grows, and
`suite.py` the run that puts them together. `reports/pages/speed.py` makes the page.
"""
