"""AdrenalMNIST3D: the shapes of adrenal glands, fetched once from their public home."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import torch

from gdl_utils.data._archives import DAMAGED, read_npy
from gdl_utils.data._fetch import fetch

HOME = "https://zenodo.org/records/10519652/files/adrenalmnist3d.npz?download=1"
CHECKSUM = "md5:bbd3c5a5576322bc4cdfea780653b1ce"
SPLITS = ("train", "val", "test")


def adrenal(split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    """Return shapes of adrenal glands, seen by computed tomography, and whether each has a mass.

    The first call fetches the file into the user's cache folder, checks it, and later calls read it there. Where there is no network,
    the environment variable ``GDL_ADRENAL`` names a local ``.npz`` of the same form, with arrays ``train_images``, uint8 of shape
    (n, 28, 28, 28) with values 0 and 255, and ``train_labels``, 0 or 1, of shape (n, 1), and so on; it may lack a split.

    Parameters
    ----------
    split : str
        ``"train"``, ``"val"`` or ``"test"``: 1,188, 98 and 298 glands; all of one patient are in one split.

    Returns
    -------
    volumes : float32 tensor of shape (n, 1, 28, 28, 28)
        1 within the gland and 0 outside; a voxel is 64/28 mm long each way.
    labels : int64 tensor of shape (n,)
        0 for a normal gland, 1 for one with a mass (hyperplasia).

    Raises
    ------
    ValueError
        If the split is not one of these, or not in the file, or the file is damaged or not what is described above. A file that
        ``GDL_ADRENAL`` names is only ever read.
    OSError
        If the file cannot be fetched or read, or ``GDL_ADRENAL`` names no file.

    Notes
    -----
    Yang et al. (2023), "MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical image classification", Scientific
    Data 10:41, CC BY 4.0; the glands are from Zhongshan Hospital. For teaching and research, not for clinical use.
    """
    if split not in SPLITS:
        raise ValueError(f"split: got {split!r}; give one of {', '.join(map(repr, SPLITS))}")
    local = os.environ.get("GDL_ADRENAL")
    path = Path(local) if local else fetch("adrenalmnist3d.npz", HOME, CHECKSUM, "GDL_ADRENAL")
    if not path.is_file():
        raise FileNotFoundError(f"GDL_ADRENAL: there is no file {path}")
    images, labels = _read_split(path, split)
    if images.shape[1:] != (28,) * 3 or images.dtype != np.uint8 or labels.shape != (len(images), 1):
        raise ValueError(
            f"adrenal: got images {images.dtype} {images.shape} and labels {labels.shape}; "
            "uint8 (n, 28, 28, 28) and (n, 1) are needed"
        )
    if (
        labels.dtype.kind not in "iu"
        or not np.isin(labels, (0, 1)).all()
        or not np.isin(images, (0, 255)).all()
    ):
        raise ValueError(
            f"adrenal: got images of {np.unique(images)[:9]} and labels {labels.dtype} of {np.unique(labels)[:9]}; "
            "0 and 255, and the integers 0 and 1, are needed"
        )
    return torch.tensor(images > 0, dtype=torch.float32)[:, None], torch.tensor(labels[:, 0].astype(np.int64))


def _read_split(path: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    content = path.read_bytes()  # so that what the disk says against it is not taken for damage
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            there = [name for name in SPLITS if f"{name}_images.npy" in archive.namelist()]
            if split in there:
                return read_npy(archive, f"{split}_images"), read_npy(archive, f"{split}_labels")
    except DAMAGED as error:
        raise ValueError(
            f"adrenal: {path} is no .npz with arrays `{split}_images` and `{split}_labels`, or it is damaged ({error})"
        ) from error
    raise ValueError(f"split: got {split!r}; {path} has {', '.join(map(repr, there)) or 'none'}")
