"""Write scikit-learn's digits as arrays: python digits_arrays.py DIGITS.npz; 500 of the 1,797 are for testing."""

import sys

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
order = np.random.RandomState(0).permutation(len(digits.target))
images, labels = digits.images[order].astype(np.uint8), digits.target[order]
np.savez(sys.argv[1], images=images, labels=labels, split=np.arange(len(labels)) >= 1297)
