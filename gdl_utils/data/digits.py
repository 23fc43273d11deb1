"""Handwritten digits that come with scikit-learn: real, small, and already on your disk."""

import torch


def digits(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Return 1,797 handwritten digits and what they are.

    Parameters
    ----------
    dtype : torch.dtype, optional
        Type of the images; float64 by default, for exactness checks.

    Returns
    -------
    images : tensor of shape (1797, 1, 8, 8)
        Ink from 0 (paper) to 1, in steps of 1/16; rows run downwards.
    labels : int64 tensor of shape (1797,)
        The digit each was meant to be, 0 to 9.

    Notes
    -----
    The test part of *Optical Recognition of Handwritten Digits* (Alpaydin and Kaynak 1998, UCI Machine Learning
    Repository, CC BY 4.0), written by 13 people, as scikit-learn includes it. Nothing is downloaded.

    Examples
    --------
    >>> images, labels = digits()
    >>> images.shape, labels[:4].tolist()
    (torch.Size([1797, 1, 8, 8]), [0, 1, 2, 3])
    """
    from sklearn.datasets import load_digits  # takes as long as torch: only who reads digits waits for it

    bunch = load_digits()
    images = torch.tensor(bunch.images, dtype=dtype)[:, None] / 16
    return images, torch.tensor(bunch.target, dtype=torch.int64)
