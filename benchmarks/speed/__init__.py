"""How fast the engine is, beside the loop a user would write: `ganbench speed`.

`plain.py` has the loops, `contender.py` the processes in which they and the engine train in turn, `suite.py` the run
that measures them. `reports/pages/speed.py` makes the page.
"""
