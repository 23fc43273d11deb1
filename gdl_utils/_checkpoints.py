"""Checkpoints of a training: a file that is whole whenever the process is killed, and is read only where it belongs."""

import io
import os
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch


def check_noted(noted: Any) -> None:
    """Refuse what a checkpoint would not give back, as NumPy's numbers."""
    try:
        torch.save(noted, file := io.BytesIO())
        torch.load(io.BytesIO(file.getvalue()), weights_only=True)
    # It cannot be written, or not be read back.
    except (pickle.PickleError, AttributeError, TypeError) as error:
        raise TypeError(
            f"each_epoch: noted {noted!r}; a checkpoint keeps Python's own numbers and text, as float(…)"
        ) from error


def checksum(t: torch.Tensor) -> int:
    return zlib.crc32(t.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())


def save(path: Path, state: dict) -> None:
    """Write a file so that, whenever the process is killed, it is there as a whole or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, beside := path.with_name(path.name + ".tmp"))
    os.replace(beside, path)


def load(path: Path, settings: dict) -> dict:
    """Read a checkpoint, or refuse a file that is none, or that belongs to another training."""
    if path.is_dir():
        raise ValueError(f"checkpoint: {path} is a folder; name a file")
    away = "move it away to start anew"
    try:
        with zipfile.ZipFile(path) as file:
            wrong = file.testzip()  # checksums, at which torch.load does not look
        if wrong is not None:
            raise ValueError(f"checkpoint: {path} is damaged, by the checksum of {wrong}; {away}")
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, RuntimeError) as error:
        raise ValueError(f"checkpoint: {path} cannot be read as one of fit ({error}); {away}") from error
    except pickle.UnpicklingError as error:  # whose words recommend to load it all the same
        raise ValueError(f"checkpoint: {path} was not written by fit, and is not loaded; {away}") from error
    if not isinstance(saved, dict) or not {"settings", "history", "order", "torch", "model"} <= saved.keys():
        raise ValueError(f"checkpoint: {path} was not written by fit; {away}")
    theirs = saved["settings"]
    other = [name for name in settings | theirs if settings.get(name) != theirs.get(name)]
    if other:
        its, here = theirs.get(other[0]), settings.get(other[0])
        raise ValueError(f"checkpoint: {path} has {other[0]} {its}, not {here}; {away}")
    return saved
