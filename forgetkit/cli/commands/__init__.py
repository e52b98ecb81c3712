"""One file, one subcommand: options and help; read, call the method, write."""

ORDER = ("train", "forget_ids", "forget", "neutralize", "distill", "relabel", "audit", "inspect")
"""The commands that help names first, in the order of the work; the others follow by name."""
