"""A method on a request: what is read, how long steps are taken, and what is written."""
