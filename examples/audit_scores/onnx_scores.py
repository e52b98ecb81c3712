"""Write the scores of an ONNX model: python onnx_scores.py MODEL.onnx IMAGES.npz IDS.txt SCORES.npz.

IMAGES.npz has images, uint8 of shape (samples, height, width) or (samples, height, width, channels), labels, and split,
0 for training and 1 for test. An id is the number of a row. IDS.txt lists the training samples in question. To ask a
service instead, replace the session by your request. Needs onnxruntime alone, no forgetkit.
"""

import sys

import numpy as np
import onnxruntime

BATCH = 256


def logits_of(model: str, images: np.ndarray) -> np.ndarray:
    """Return the outputs of a model, float32 of shape (samples, classes)."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    parts = [images[at : at + BATCH] for at in range(0, len(images), BATCH)]
    return np.concatenate([session.run(None, {name: part.astype(np.float32)})[0] for part in parts])


def main(model: str, samples: str, ids: str, out: str) -> None:
    """Write the scores."""
    with np.load(samples) as arrays:
        images, labels, unseen = arrays["images"], arrays["labels"], arrays["split"] == 1
    channels_first = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    names = np.array([str(row) for row in range(len(labels))])
    with open(ids, encoding="utf-8") as stream:
        asked = np.isin(names, stream.read().split())
    group = np.where(asked, "forget", np.where(unseen, "unseen", "retain"))
    np.savez(out, id=names, label=labels.astype(np.int64), group=group, logits=logits_of(model, channels_first))


if __name__ == "__main__":
    main(*sys.argv[1:])
