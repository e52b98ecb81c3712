"""A grid of runs from one plan: each is an ordinary command that runs once, and one table holds all results."""
