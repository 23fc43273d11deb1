"""Where proteins bind to DNA and to RNA, as experiments found: from files that the reader fetches by hand."""

import os
import re
from pathlib import Path

import torch

from gdl_utils.data.strands import parse_sequences, read_text

PEAKS = {  # name: file in the supplementary software of DeepBind
    "TEAD4": "TEAD4_H1-hESC_TEAD4_(SC-101184)_HudsonAlpha_AC.seq.gz",
    "USF1": "USF1_H1-hESC_USF-1_HudsonAlpha_AC.seq.gz",
}
DEEPBIND = "http://tools.genes.toronto.edu/deepbind/nbtcode, folder data/encode,"
IONMF = "https://github.com/mstrazar/iONMF, folder datasets/clip,"


def binding_sites(name: str) -> list[str]:
    """Return pieces of human DNA to which a protein was found to bind, 101 bases each.

    The environment variable ``GDL_DNA`` names a folder with the files ``TEAD4_peaks.seq.gz`` and ``USF1_peaks.seq.gz``, columns FoldID,
    EventID, seq and Bound with tabs between them.

    Parameters
    ----------
    name : str
        The protein: ``"TEAD4"``, 19,357 pieces, or ``"USF1"``, 25,542; both measured by ChIP-seq in embryonic stem cells (H1).

    Returns
    -------
    list of str
        In letters A, C, G and T, on one of the two strands; nothing says on which of them the protein finds its word.

    Raises
    ------
    ValueError
        If the name is another one, or the file is damaged or not what is described above.
    OSError
        If ``GDL_DNA`` names no folder with the file, or it cannot be read.

    Notes
    -----
    *All are bound*: what is not bound has to be made, as by ``shuffle_pairs``. The highest peaks come first, so that a split must not
    follow the order: CATTCC or its reverse complement, which TEAD4 likes, is in 76 % of its first 500 and in 40 % of its last 1,000.
    Of the first 1,000 peaks the files have every other; DeepBind's authors held the rest back.

    ENCODE (The ENCODE Project Consortium 2012), cut and distributed with DeepBind (Alipanahi et al. 2015) at
    http://tools.genes.toronto.edu/deepbind/nbtcode. ENCODE's data may be used, and what is found in them published, without restriction.
    """
    if name not in PEAKS:
        raise ValueError(f"name: got {name!r}; give one of {', '.join(PEAKS)}")
    path = _local(f"{name}_peaks.seq.gz", f"{DEEPBIND} {PEAKS[name]}")
    head, *rows = [line.split("\t") for line in read_text("GDL_DNA", path).rstrip().splitlines()] or [[]]
    if head != ["FoldID", "EventID", "seq", "Bound"] or not rows:
        raise ValueError(f"GDL_DNA: {path} is no table with columns FoldID, EventID, seq and Bound, and rows")
    for i, row in enumerate(rows, start=2):
        if len(row) != 4 or not row[2].isalpha() or row[3] != "1":
            raise ValueError(
                f"GDL_DNA: {path} has {row} in line {i}; four columns are needed, the last one 1"
            )
    return [row[2] for row in rows]


def clip_sites() -> tuple[list[str], torch.Tensor]:
    """Return pieces of human RNA, 101 bases each, and whether the protein HNRNPC was found to bind there.

    The environment variable ``GDL_DNA`` names a folder with the file ``HNRNPC_clip.fa.gz``, FASTA whose titles end in ``class:0`` or
    ``class:1``, as in the collection of iONMF.

    Returns
    -------
    sequences : list of str
        As RNA is read, from 5' to 3', written with T for U: the strand is known, and the other one is another molecule.
    labels : int64 tensor of shape (n,)
        1 where it binds.

    Raises
    ------
    ValueError
        If the file is damaged or not what is described above.
    OSError
        If ``GDL_DNA`` names no folder with the file, or it cannot be read.

    Notes
    -----
    They are given as they are. Of the 30,000 in the file that this book measured, 6,000 are bound, and:

    - 33 are nothing but N, and *none of these is bound*: whoever keeps them lets a network read a class from what is missing. They
      are the only equal ones; if they are split by chance, some stand in training and test.
    - The order is that of the genome: a split must not follow it.
    - 2,748 overlap with the one before them on the same strand, 35 of these with one of the other class. A split by chance cuts
      through them; one by chromosome, which the file's titles name, does not.
    - Letters alone tell much: T is 40 % of what is bound and 28 % of what is not, and five T in a row are in 94 % and 22 %.

    iCLIP (König et al. 2010), in the form of the collection of Stražar et al. (2016), https://github.com/mstrazar/iONMF. No licence was
    found there; nothing of it is stored here.
    """
    path = _local("HNRNPC_clip.fa.gz", f"{IONMF} a file sequences.fa.gz of HNRNPC")
    titles, sequences = parse_sequences("GDL_DNA", path)
    classes = [re.search(r"class:([01])$", title) for title in titles]
    if None in classes:
        title = titles[classes.index(None)]
        raise ValueError(f"GDL_DNA: {path} has the title {title[:60]!r}; each must end in class:0 or class:1")
    return sequences, torch.tensor([int(found[1]) for found in classes])


def _local(file: str, home: str) -> Path:
    """Return where a file is, or say how to get it."""
    path = Path(os.environ.get("GDL_DNA", ""), file)
    if "GDL_DNA" not in os.environ or not path.is_file():
        wrong = f"there is no file {path}" if "GDL_DNA" in os.environ else "is not set"
        raise FileNotFoundError(
            f"GDL_DNA: {wrong}; fetch from {home} save it as {file}, and let this environment variable name its folder"
        )
    return path
