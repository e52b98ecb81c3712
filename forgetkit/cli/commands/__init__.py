"""One file, one subcommand: options and help; read, call the method, write."""

ORDER = ("train", "forget_ids", "forget", "audit", "inspect", "neutralize", "distill", "relabel")
"""The commands that help names first, in the order of the work; the others follow by name."""
