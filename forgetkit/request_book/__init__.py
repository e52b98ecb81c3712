"""Requests to forget, with what was done for each: one file, to which rows are only added."""
