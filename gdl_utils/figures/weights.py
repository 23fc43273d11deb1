"""A basis of linear maps, made readable: which entries of the matrix are one weight, and with which sign."""

from itertools import product
from string import ascii_letters

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from gdl_utils.figures.style import FAINT


def weights_as_text(basis: torch.Tensor) -> str:
    """Write a matrix with one letter for each solution: entries with one letter are tied.

    Parameters
    ----------
    basis : tensor of shape (dim, n_out, n_in)
        Of linear maps, such as ``equivariant_basis`` returns; up to 52.

    Returns
    -------
    str
        A line for each row of the matrix. Entries that are 0 in all maps are dots; where several weights meet in an entry, their sum is
        written out, with numbers rounded to three digits.

    Raises
    ------
    ValueError
        If the basis has another shape, or numbers that are not real or not finite; the maps are more than letters, or not independent.

    Examples
    --------
    The products of two arrows of space, in nine columns, and the one arrow that all turns let be made of them:

    >>> from gdl_utils.intertwiners import equivariant_basis
    >>> from gdl_utils.representations import rotations
    >>> vector = rotations(3)
    >>> print(weights_as_text(equivariant_basis(vector * vector, vector)))
     .  .  .  .  .  a  . -a  .
     .  . -a  .  .  .  a  .  .
     .  a  . -a  .  .  .  .  .
    """
    reduced = _reduced(basis)
    if len(reduced) > len(ascii_letters):
        raise ValueError(f"basis: has {len(reduced)} maps, and there are {len(ascii_letters)} letters")
    entries = [[_sum(reduced[:, i, j]) for j in range(reduced.shape[2])] for i in range(reduced.shape[1])]
    wide = max(len(entry) for row in entries for entry in row)
    return "\n".join(" ".join(entry.rjust(wide) for entry in row) for row in entries)


def show_weights(ax: Axes, basis: torch.Tensor, title: str = "") -> None:
    """Draw the same: a colour for each weight, a line through entries that have it with a minus, white where there is none.

    By which factor an entry has it is not shown.

    Parameters
    ----------
    ax : Axes
        To draw into.
    basis : tensor of shape (dim, n_out, n_in)
        Of linear maps, as many as there are. Entries in which several weights meet are grey.
    title : str
        Above.

    Raises
    ------
    ValueError
        If the basis has another shape, or numbers that are not real or not finite, or the maps are not independent.
    """
    reduced = _reduced(basis)
    dim, n_out, n_in = reduced.shape
    several, alone = (reduced != 0).sum(0) > 1, (reduced != 0).sum(0) == 1
    image = np.ones((n_out, n_in, 4))
    if dim:
        image[alone] = colormaps["viridis"]((np.abs(reduced).argmax(0)[alone] + 0.5) / dim)
    image[several] = to_rgba(FAINT)
    ax.imshow(image)
    for i, j in product(range(n_out), range(n_in)):
        if alone[i, j] and reduced[:, i, j].sum() < 0:
            ax.plot([j - 0.3, j + 0.3], [i, i], color="white", lw=2)
    ax.spines[:].set(visible=True, linewidth=0.5)  # so that the ends are seen
    ax.set(xticks=[], yticks=[], title=title)


def _sum(coefficients: np.ndarray) -> str:
    """Write c₀ a + c₁ b + …"""
    words = ""
    for c, letter in zip(coefficients, ascii_letters, strict=False):
        if c:
            number = "" if abs(c) == 1 else f"{abs(c):.3g}"
            words += f"{'-' if c < 0 else '+'}{number}{letter}"
    return words.removeprefix("+") or "."


def _reduced(basis: torch.Tensor) -> np.ndarray:
    """Return the basis of the same space in which each map is 1 at an entry where the others are 0."""
    if basis.ndim != 3:
        raise ValueError(f"basis: got shape {tuple(basis.shape)}; (dim, n_out, n_in) is needed")
    if basis.is_complex():
        raise ValueError(f"basis: is of {basis.dtype}; real numbers are needed")
    near = 1e-9 if basis.dtype == torch.float64 else 1e-4 if basis.dtype == torch.float32 else 1e-2
    rows = basis.detach().cpu().to_dense().double().flatten(1).numpy().copy()
    if not np.isfinite(rows).all():
        raise ValueError("basis: has entries that are not finite")
    rows /= np.abs(rows).max(1, initial=1e-300, keepdims=True)
    done = 0
    for k in range(rows.shape[1]):
        if done == len(rows):
            break
        best = done + np.abs(rows[done:, k]).argmax()
        if abs(rows[best, k]) <= near:
            continue
        rows[[done, best]] = rows[[best, done]]
        rows[done] /= rows[done, k]
        others = np.arange(len(rows)) != done
        rows[others] -= np.outer(rows[others, k], rows[done])
        done += 1
    if done < len(rows):
        raise ValueError(f"basis: has {len(rows)} maps, and they span a space of {done} dimensions")
    return np.where(np.abs(rows - rows.round()) <= near, rows.round(), rows).reshape(basis.shape)
