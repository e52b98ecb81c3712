"""Data sets: samples as arrays in memory, each with an id, known by a fingerprint."""
