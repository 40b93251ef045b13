"""Before a run: choosing studies, the plan, its cost."""
