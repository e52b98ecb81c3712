"""Export a checkpoint to ONNX: python export_onnx.py MODEL.st MODEL.onnx.

The file takes pixels as the data set holds them, float32 of shape (samples, channels, height, width): the normalisation
is part of it. Needs the extra onnx: pip install "forgetkit[onnx]".
"""

import sys
from pathlib import Path

import torch
from torch import nn

import forgetkit
from forgetkit.files.header import read_record


class Classifier(nn.Module):
    """A model behind the normalisation of its input."""

    def __init__(self, model: nn.Module, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of images."""
        logits: torch.Tensor = self.model((images - self.mean) / self.std)
        return logits


def main(checkpoint: str, out: str) -> None:
    """Write the ONNX file."""
    record = read_record(Path(checkpoint))
    model = Classifier(forgetkit.load(checkpoint), record.input["mean"], record.input["std"]).eval()
    images = torch.zeros(2, *record.input["shape"])
    batch = {0: torch.export.Dim("batch")}
    torch.onnx.export(
        model, (images,), out, input_names=["images"], output_names=["logits"], dynamic_shapes=(batch,), verbose=False
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
