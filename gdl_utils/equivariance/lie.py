"""The Lie derivative of a network: what an infinitesimal change of its input does, layer by layer, that it should not do."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from gdl_utils.equivariance.calls import calls
from gdl_utils.equivariance.table import Table
from gdl_utils.pictures import turned
from gdl_utils.representations import Representation

STEP = 1e-5  # of an amount: what is left out falls with it, and rounding, 1e-16 / STEP, is still far below


class LieRow(NamedTuple):
    """What was found after one layer."""

    name: str
    layer: str
    shape: tuple[int, ...]
    reading: str
    error: float


@dataclass(frozen=True, repr=False)
class LieDerivatives(Table):
    """The size of the Lie derivative after every layer, relative to the output's own, for one unit of the change.

    Attributes
    ----------
    rows : tuple of LieRow
        Name and kind of each layer, shape of its output, how this was taken to change, and the error; NaN where the output is 0.
    change : str
        Name of the change.
    """

    rows: tuple[LieRow, ...]
    change: str

    def _table(self) -> list[tuple[str, ...]]:
        lines = [("layer", f"error per unit of {self.change}", "output", "read as", "kind")]
        for row in self.rows:
            error = "shows nothing" if math.isnan(row.error) else f"{row.error:.2g}"
            lines.append((row.name, error, "×".join(map(str, row.shape[1:])) or "1", row.reading, row.layer))
        return lines


def lie_derivatives(
    model: nn.Module, x: torch.Tensor, change: Callable, change_out: Callable | None = None
) -> LieDerivatives:
    """Measure ``|d/dt (f(T_t x) - T_t f(x))| / |f(x)|`` at t = 0 after every layer of a model.

    An audit asks what a finite group does. This asks what the smallest turn, shift or shear does, of any angle and so of none that a grid
    knows: the error per degree, by which all angles can be reached (Gruver et al. 2023).

    Parameters
    ----------
    model : nn.Module
        Any model of pictures. It runs in evaluation mode, without gradients, and is left as it was.
    x : float64 tensor of shape (n, channels, height, width)
        Pictures, as smooth or as sharp as those that the model is used for: the sharper, the more is lost between pixels.
    change : callable
        ``change(pictures, amount)``, with amount 0 for none: one of ``gdl_utils.pictures``, or one like them.
    change_out : callable, optional
        How it should change maps of features; by default as it changes pictures. ``lambda y, amount: y`` for changes of light and colour,
        which a layer had better not notice.

    Returns
    -------
    LieDerivatives
        Print it for a table, or let a cell end in it.

    Raises
    ------
    TypeError
        If model is no module, or the model's output none that can be found.
    ValueError
        If x is not in float64 or has other than four axes.

    Notes
    -----
    By central differences with a step of 1e-5. Outputs of four axes and more are maps, and change as pictures do, in shares of their side;
    where a layer flattened a map, it is read as one still; others have no place, and should not change. A group axis of a cyclic or dihedral group (the last
    fibre that a layer named) turns along under ``turned``: its matrices are those of multiples of 360°/n, and between them the one generator
    is taken whose powers they are, from -180° to 180°; a sign that changes with each step has none, and is left alone.

    Errors add up from layer to layer, and may cancel: a row says what has gone wrong so far, not what its layer did. A pointwise
    nonlinearity errs, for between the pixels what was read off first and bent then is not what was bent first.

    Examples
    --------
    Squares of sums that a blur has smoothed change hardly when the picture turns; a ramp makes them.

    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch...>
    >>> x = torch.rand(1, 1, 9, 9, dtype=torch.float64)
    >>> rows = lie_derivatives(nn.Sequential(nn.Flatten(), nn.Linear(81, 1).double()), x, turned).rows
    >>> [(row.reading, row.error > 0.001) for row in rows]
    [('map, flattened', False), ('no place', True)]
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}; give an nn.Module, which can be listened to")
    if x.dtype != torch.float64 or x.ndim != 4:
        raise ValueError(
            f"x: got {x.dtype}, {tuple(x.shape)}; give float64 pictures (n, channels, height, width)"
        )
    change_out = change if change_out is None else change_out
    with torch.random.fork_rng(devices=[]):
        plain = calls(model, x)
        ahead, back = (calls(model, change(x, amount)) for amount in (STEP, -STEP))
    rows, before, fibre = [], None, None
    for key, call in plain.items():
        y, fibre = call.output, call.fibre or fibre
        if not call.shown or any(key not in run or run[key].output.shape != y.shape for run in (ahead, back)):
            continue
        reading, unfold = "no place", None
        if y.ndim > 3:
            reading, unfold, before = "map", lambda t: t, y.shape
        elif before is not None and y.shape == (before[0], math.prod(before[1:])):
            reading, unfold = "map, flattened", lambda t, shape=before: t.view(shape)
        wanted = torch.zeros_like(y)
        if unfold is not None:
            maps = unfold(y)
            maps = maps - _at_the_edge(
                maps
            )  # so that a constant is left alone, and not turned out of the frame
            wanted = (change_out(maps, STEP) - change_out(maps, -STEP)) / (2 * STEP)
            if change_out is turned and fibre is not None and maps.shape[2:-2] == (fibre.size,):
                reading += f", {fibre.name} fibre"
                wanted = wanted + torch.einsum("fg,ncghw->ncfhw", _per_degree(fibre).to(y), unfold(y))
            wanted = wanted.reshape(y.shape)
        error = (ahead[key].output - back[key].output) / (2 * STEP) - wanted
        size = torch.linalg.vector_norm(y)
        rows.append(
            LieRow(
                call.name, call.kind, tuple(y.shape), reading, float(torch.linalg.vector_norm(error) / size)
            )
        )
    return LieDerivatives(tuple(rows), getattr(change, "__name__", "the change"))


def _at_the_edge(maps: torch.Tensor) -> torch.Tensor:
    """Return the mean of each map along its edge."""
    inner = maps[..., 1:-1, 1:-1]
    numbers = maps.shape[-2] * maps.shape[-1] - inner.shape[-2] * inner.shape[-1]
    return ((maps.sum((-2, -1)) - inner.sum((-2, -1))) / numbers)[..., None, None]


def _per_degree(fibre: Representation) -> torch.Tensor:
    """Return the generator A of the turns of a fibre, of shape (F, F): exp(A · 360/n) is the matrix of the n-th of a turn."""
    turn = fibre.matrices[fibre.group.generators[0]]
    values, vectors = np.linalg.eig(turn)  # normal, for the matrix is orthogonal
    angles = np.angle(values)
    angles[np.isclose(np.abs(angles), np.pi)] = 0
    generator = (vectors * (1j * angles)) @ np.linalg.inv(vectors)
    return torch.from_numpy(generator.real.copy()) * (fibre.group.degree / 360)
