"""Statistics of the audit: arrays in, numbers out."""
