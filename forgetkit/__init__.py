"""Machine unlearning of image classifiers: forget named samples, then audit that they are forgotten."""

__version__ = "0.1.0"
