"""The verification of forgetting: scores, statistics, verdicts and reports."""
