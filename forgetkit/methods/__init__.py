"""One file, one unlearning method: pure functions on models and tensors, no files, no command line."""
