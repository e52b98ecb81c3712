"""Image files as arrays: uint8, channels first, all of one shape."""

import os
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from forgetkit.data.listing import Listing, SizesDiffer, malformed, no_permission
from forgetkit.errors import ForgetkitError
from forgetkit.files.lfs import refuse_pointer
from forgetkit.processes import available_cores

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM")
"""Not TIFF: its library writes its complaints to stderr, past all error handling."""
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"}
LARGEST_IMAGE = 1 << 26
"""Most pixels of an image: a few bytes of a file can encode billions."""
AT_ONCE = 256
"""Images that are decoded before more are submitted."""

Shape = tuple[int, int, int]
"""Channels, height, width."""

_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError,
    RuntimeError, AssertionError, struct.error, zlib.error, Warning,
)  # fmt: skip
"""What the readers of Pillow raise for malformed files."""


def check_files(listing: Listing) -> None:
    """Refuse image files that do not exist, are not regular files, or lie outside the root; none is opened.

    Raises:
        ForgetkitError: ``dataset-malformed``; names the row.
    """
    if listing.embedded:
        return
    root, base = listing.root, os.path.realpath(listing.root)
    inside: dict[str, bool] = {}
    for file, place in zip(listing.files, listing.places, strict=True):
        name, folder = _relative(file, root), os.path.dirname(file)
        if folder not in inside:
            inside[folder] = _within(os.path.realpath(folder), base)
        linked = os.path.islink(file)
        if not inside[folder] or (linked and not _within(os.path.realpath(file), base)):
            raise malformed(place, f"'{name}' leads out of {root}", "put the image below it")
        try:
            mode = os.stat(file).st_mode
        except PermissionError:
            raise
        except OSError as problem:
            why = "is a link that leads nowhere" if linked else "is not there"
            hint = "write folders with /" if "\\" in name else "put the image there, or remove the row"
            raise malformed(place, f"'{name}' {why}", hint) from problem
        if not stat.S_ISREG(mode):
            raise malformed(place, f"'{name}' is not a regular file", "name an image file")


def shape_of(listing: Listing) -> Shape:
    """Return the shape that all images must have: that of the first one.

    Raises:
        ForgetkitError: ``dataset-malformed`` where it cannot be read.
    """
    with _quiet():
        channels, height, width = _read(listing.files[0], listing.places[0], listing, None).shape
    return channels, height, width


def read_images(listing: Listing) -> Iterator[NDArray[np.uint8]]:
    """Yield the images of files that :func:`check_files` accepted, in row order, decoded in parallel.

    Raises:
        ForgetkitError: ``dataset-malformed`` for the first image that cannot be read or is not like the first one.
    """
    known = (shape_of(listing), _relative(listing.files[0], listing.root))

    def read(pair: tuple[Path, str]) -> NDArray[np.uint8]:
        """Return the image of a file, which has this name in messages."""
        return _read(*pair, listing, known)

    pairs = zip(listing.files, listing.places, strict=True)
    with _quiet(), ThreadPoolExecutor(available_cores()) as pool:
        while chunk := list(islice(pairs, AT_ONCE)):
            yield from pool.map(read, chunk)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the warnings of Pillow off stderr; once for all threads, since filters belong to the process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read(file: Path, place: str, listing: Listing, known: tuple[Shape, str] | None) -> NDArray[np.uint8]:
    """Return one image of a listing; its shape is checked before any pixel is decoded."""
    from PIL import Image

    name, size = _relative(file, listing.root), listing.size
    try:
        with Image.open(listing.embedded.open(file) if listing.embedded else file, formats=FORMATS) as image:
            _check_size(image, name, place)
            mode = _mode(image, name, place)
            if known is not None:
                found = 1 if mode == "L" else 3, size or image.height, size or image.width
                _check_shape(found, known, name, place)
            return _pixels(image, mode, name, place, size=size)
    except ForgetkitError:
        raise
    except (*_BROKEN, Image.DecompressionBombError) as problem:
        raise _unreadable(file, name, place, problem) from problem


def _check_size(image: "Image", name: str, place: str) -> None:
    if image.width * image.height > LARGEST_IMAGE:
        message = f"'{name}' has {image.width} × {image.height} pixels, more than {LARGEST_IMAGE:,}"
        raise malformed(place, message, "make it smaller")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a camera's JPEG with a preview
        raise malformed(place, f"'{name}' holds {frames} images", "save each in its own file")


def _check_shape(shape: Shape, known: tuple[Shape, str], name: str, place: str) -> None:
    """Refuse an image of another shape than the first one."""
    (channels, *size), first = known
    if shape[1:] != tuple(size):
        message = f"'{name}' has {shape[2]} × {shape[1]} pixels, the first one, '{first}', {size[1]} × {size[0]}"
        hint = "make all images the same size, or resize and crop them in training: forgetkit train --image-size S"
        raise SizesDiffer("dataset-malformed", f"{place}: {message}", hint)
    if shape[0] != channels:
        colours = {1: "grey", 3: "in colour"}
        message = f"'{name}' is {colours[shape[0]]}, the first one, '{first}', is {colours[channels]}"
        raise malformed(place, message, "save all grey, or all in colour")


def _mode(image: "Image", name: str, place: str) -> str:
    """Return what to convert an image to: ``L`` (grey) or ``RGB``."""
    if image.mode in {"1", "L", "LA", "La"}:
        return "L"
    if image.mode in {"RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV"}:
        return "RGB"
    raise malformed(place, f"'{name}' has pixels of mode {image.mode}", "save it with 8 bits a channel")


def _pixels(image: "Image", mode: str, name: str, place: str, *, size: int | None) -> NDArray[np.uint8]:
    """Return the pixels, uint8 of shape ``(channels, height, width)``, cropped to ``size`` if it is given."""
    from PIL import Image, ImageOps

    if "A" in image.mode or "transparency" in image.info:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        if alpha.min() < 255:
            raise malformed(place, f"'{name}' is partly transparent", "flatten it onto a background")
    image = image.convert(mode)
    if size is not None:
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if mode == "L" else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _unreadable(file: Path, name: str, place: str, problem: BaseException) -> ForgetkitError:
    from PIL import Image, UnidentifiedImageError

    if isinstance(problem, PermissionError):
        return no_permission(problem, file)
    if isinstance(problem, Image.DecompressionBombError):
        return malformed(place, f"'{name}' has more than {LARGEST_IMAGE:,} pixels", "make it smaller")
    refuse_pointer(file, code="dataset-malformed")
    if isinstance(problem, UnidentifiedImageError):
        hint = f"images are {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        return malformed(place, f"'{name}' is not an image" + (" (0 bytes)" if _empty(file) else ""), hint)
    why = " ".join(str(problem).split()) or type(problem).__name__
    return malformed(place, f"'{name}' cannot be read ({why})", "fetch or save the image again")


def _empty(file: Path) -> bool:
    try:
        return file.stat().st_size == 0
    except OSError:
        return False


def _within(path: str, base: str) -> bool:
    return path == base or path.startswith(base.rstrip(os.sep) + os.sep)


def _relative(file: Path, root: Path) -> str:
    return os.path.relpath(file, root) if file.is_relative_to(root) else str(file)
