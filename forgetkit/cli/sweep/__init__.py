"""A grid of runs from one plan: each an ordinary command, made once, and all in one table."""
