"""Arrays in an .npz, read so that damage is noticed and nothing is run."""

import io
import math
import struct
import tokenize
import zipfile
import zlib

import numpy as np

# What reading an archive raises where a bit of it is wrong; a RuntimeError is zipfile's for what it does not know.
DAMAGED = (
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    tokenize.TokenError,
)


def read_npy(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Read one array: first all of its bytes, with their checksum, then what they say."""
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name}: packed in another way than NumPy does")
    content = archive.read(member)
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read_header = (
        np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read_header(file)
    # Before an array of the size that the header claims is made.
    if math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"{name}: {len(content)} bytes are not {dtype} {shape}")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)  # a pickle could run anything
