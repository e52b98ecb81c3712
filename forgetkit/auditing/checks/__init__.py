"""Checks of an audit; each function returns a ``Check``."""
