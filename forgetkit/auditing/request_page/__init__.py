"""A request on one page, for the person who asked and for an auditor."""
