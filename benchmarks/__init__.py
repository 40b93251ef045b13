"""The harness: plan a study, train it, record it."""
