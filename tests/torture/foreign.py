"""Files of torch.save as people have them: prefixes, neighbours, wrappers, and damage."""

import io
import random
from argparse import Namespace
from collections import OrderedDict, defaultdict
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any


class Trap:
    """An object whose unpickling would run code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("open('bad.ran', 'w').close()",)


def state(draw: random.Random) -> bytes:
    """Return a model's state in one of many forms, damaged or not."""
    import numpy as np
    import torch

    prefix = draw.choice(["", "", "module.", "model.", "net.backbone."])
    found: dict[str, Any] = OrderedDict(
        (f"{prefix}{name}", torch.zeros(shape)) for name, shape in (("fc.weight", (3, 4)), ("fc.bias", (3,)))
    )
    neighbours: list[tuple[str, Any]] = [
        ("n_averaged", torch.tensor(3)),
        ("epoch", 3),
        ("acc", np.float64(0.5)),
        ("args", Namespace(rate=0.1)),
        ("when", datetime(2026, 1, 1)),
        ("where", PurePosixPath("x")),
        ("counts", defaultdict(int, a=1)),
        ("trap", Trap()),
        ("meta", torch.zeros(2, device="meta")),
        ("sparse", torch.eye(2).to_sparse()),
        ("__metadata__", torch.zeros(1)),
        ("\ud800", torch.zeros(1)),
        ("ema", {f"ema.{name}": tensor for name, tensor in found.items()}),
    ]
    for name, value in draw.sample(neighbours, draw.randint(0, 3)):
        found[name] = value
    for _ in range(draw.randint(0, 3)):
        found = {draw.choice(["state_dict", "model", "net", "params", "x"]): found, "step": 1}
    stream = io.BytesIO()
    torch.save(found, stream, _use_new_zipfile_serialization=draw.random() < 0.8)
    content = bytearray(stream.getvalue())
    for _ in range(draw.choice([0, 0, 1, 5])):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return bytes(content[: draw.randrange(len(content))] if draw.random() < 0.1 else content)
