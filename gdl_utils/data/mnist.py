"""MNIST: handwritten digits, fetched once from their public home."""

import gzip
import io
import math
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from gdl_utils.data._archives import DAMAGED, read_npy
from gdl_utils.data._fetch import fetch

HOME = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {  # name: checksum, and how many axes the array has
    "train-images-idx3-ubyte.gz": ("md5:f68b3c2dcbeaaa9fbdd348bbdeb94873", 3),
    "train-labels-idx1-ubyte.gz": ("md5:d53e105ee54ea40749a09fcbcd1e9432", 1),
}


def mnist(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the 60,000 training images of MNIST and what they are.

    The first call fetches 10 MB into the user's cache folder, checks them, and later calls read them there. Where there is no
    network, the environment variable ``GDL_MNIST`` names a local ``.npz`` with arrays ``images``, uint8 of shape (n, 28, 28),
    and ``labels``, integers of shape (n,).

    Parameters
    ----------
    dtype : torch.dtype, optional
        Type of the images, a floating one.

    Returns
    -------
    images : tensor of shape (60000, 1, 28, 28)
        Ink from 0 (paper) to 1, in steps of 1/255; rows run downwards.
    labels : int64 tensor of shape (60000,)
        The digit each was meant to be, 0 to 9.

    Raises
    ------
    TypeError
        If ``dtype`` is no floating type.
    ValueError
        If a file is damaged, or not what is described above. A file that ``GDL_MNIST`` names is only ever read.
    OSError
        If the files cannot be fetched or read, or ``GDL_MNIST`` names no file.

    Notes
    -----
    MNIST is by Yann LeCun and Corinna Cortes, CC BY-SA 3.0.
    """
    if not dtype.is_floating_point:
        raise TypeError(f"dtype: got {dtype}; give a floating type")
    local = os.environ.get("GDL_MNIST")
    if local:
        images, labels = _read_npz(Path(local))
    else:
        images, labels = (
            _read_idx(fetch(name, HOME + name, checksum, "GDL_MNIST"), axes)
            for name, (checksum, axes) in FILES.items()
        )
    if images.shape[1:] != (28, 28) or images.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise ValueError(
            f"mnist: got images {images.dtype} {images.shape} and labels {labels.shape}; "
            "uint8 (n, 28, 28) and (n,) are needed"
        )
    if labels.dtype.kind not in "iu" or not np.isin(labels, range(10)).all():
        raise ValueError(
            f"mnist: got labels {labels.dtype} {np.unique(labels)[:20]}; they must be integers from 0 to 9"
        )
    return torch.tensor(images, dtype=dtype)[:, None] / 255, torch.tensor(labels.astype(np.int64))


def _read_idx(path: Path, axes: int) -> np.ndarray:
    """Read an array of bytes: two zeros, 8 for "bytes", the number of axes, their lengths (big-endian), the values."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"mnist: {path}, which was fetched, is damaged ({error}); delete it") from error
    start = 4 + 4 * axes
    shape = np.frombuffer(content[4:start], dtype=">u4", count=axes if len(content) >= start else 0).tolist()
    if content[:4] != bytes([0, 0, 8, axes]) or len(content) != start + math.prod(shape):
        raise ValueError(
            f"mnist: {path}, which was fetched, is damaged: {len(content)} bytes that begin with {content[:4]!r}; delete it"
        )
    return np.frombuffer(content[start:], dtype=np.uint8).reshape(shape)


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(f"GDL_MNIST: there is no file {path}")
    content = path.read_bytes()  # so that what the disk says against it is not taken for damage
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return read_npy(archive, "images"), read_npy(archive, "labels")
    except DAMAGED as error:
        raise ValueError(
            f"GDL_MNIST: {path} is no .npz with arrays `images` and `labels`, or it is damaged ({error})"
        ) from error
