"""ESOL: how much of a substance dissolves in water, fetched once from its public home."""

import csv
import math
import os
from pathlib import Path

import torch

from gdl_utils.data._fetch import fetch

HOME = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/delaney-processed.csv"
CHECKSUM = "sha256:a51dcc10593a9f5b11fbf94bfc7504f7ef13eb133066fa5baf02e509efaae0b4"
MOLECULE, MEASURED = COLUMNS = "smiles", "measured log solubility in mols per litre"


def esol() -> tuple[list[str], torch.Tensor]:
    """Return molecules, as lines of text, and how much of each dissolves in water.

    The first call fetches the file into the user's cache folder, checks it, and later calls read it there. Where there is no network,
    the environment variable ``GDL_ESOL`` names a local ``.csv`` with a header and the columns ``smiles`` and ``measured log
    solubility in mols per litre``; others do not count.

    Returns
    -------
    smiles : list of str
        1,128 molecules in the notation SMILES, such as ``"CCO"`` for ethanol, whose hydrogens are not written. Eleven are there twice.
    solubility : float32 tensor of shape (n,)
        The measured log10 of the solubility in mol/l.

    Raises
    ------
    ValueError
        If the file is not text with these columns, or damaged, or has no molecules, or a row without a molecule or a finite number.
        Whether a chemist could read the molecules is not checked.
    OSError
        If the file cannot be fetched or read, or ``GDL_ESOL`` names no file.

    Notes
    -----
    Delaney (2004), "ESOL: estimating aqueous solubility directly from molecular structure", Journal of Chemical Information and
    Computer Sciences 44:1000, as distributed by MoleculeNet (Wu et al. 2018). No licence was found for the measurements.
    """
    local = os.environ.get("GDL_ESOL")
    path = Path(local) if local else fetch("delaney-processed.csv", HOME, CHECKSUM, "GDL_ESOL")
    if not path.is_file():
        raise FileNotFoundError(f"GDL_ESOL: there is no file {path}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            header, rows = table.fieldnames or [], list(table)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"esol: {path} is no .csv in UTF-8, or it is damaged ({error})") from error
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise ValueError(f"esol: {path} has no column {', '.join(map(repr, missing))}; it has {header[:12]}")
    if not rows:
        raise ValueError(f"esol: {path} has no molecules, only a header")
    pairs = [_read_row(path, number, row) for number, row in enumerate(rows, start=1)]
    return [smiles for smiles, _ in pairs], torch.tensor([value for _, value in pairs], dtype=torch.float32)


def _read_row(path: Path, number: int, row: dict) -> tuple[str, float]:
    smiles, measured = ((row[name] or "").strip() for name in COLUMNS)
    try:
        value = float(measured)
    except ValueError:
        value = math.nan
    if not smiles or not math.isfinite(value):
        raise ValueError(
            f"esol: {path} has {smiles!r} and {measured!r} in row {number} below the header; "
            "a molecule and a finite number are needed"
        )
    return smiles, value
