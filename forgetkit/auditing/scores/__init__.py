"""Scores: a model's outputs on samples, as a file; written by ``predict``, judged by ``audit --scores``."""
