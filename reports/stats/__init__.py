"""Statistics of repeated training runs: pure functions over arrays."""
