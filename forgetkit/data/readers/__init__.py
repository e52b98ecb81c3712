"""Readers of data sets: one form in which images come, one module."""
