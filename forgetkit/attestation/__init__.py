"""Signed statements about a checkpoint and its audit, for readers without forgetkit. Without torch."""
