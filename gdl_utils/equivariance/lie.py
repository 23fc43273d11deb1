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

    An audit asks what a finite group does. This asks what the smallest turn, shift or shear does, of any angle and so of none that a
    grid knows: the error per degree, by which all angles can be reached (Gruver et al. 2023).

    Parameters
    ----------
    model : nn.Module
        Any model of pictures, in float64. It runs in evaluation mode, without gradients, and is left as it was.
    x : float64 tensor of shape (n, channels, height, width)
        Pictures, as smooth or as sharp as those that the model is used for: the sharper, the more is lost between pixels.
    change : callable
        ``change(pictures, amount)``, of the same shape, with amount 0 for none: one of ``gdl_utils.pictures``, or one like them.
    change_out : callable, optional
        How it should change maps of features. By default, as it changes pictures: a change of places, under which a constant stays what
        it is. Give ``lambda y, amount: y`` for light and colour, which a layer had better not notice.

    Returns
    -------
    LieDerivatives
        Print it for a table, or let a cell end in it.

    Raises
    ------
    TypeError
        If model is no module, x no tensor, or the model puts out none that can be found.
    ValueError
        If x is not in float64 or has other than four axes, the model's weights are of another type, the change gives another shape or
        does something with amount 0, or the model gives other numbers for the same input.

    Notes
    -----
    By central differences with a step of 1e-5. Outputs of four axes or more are maps, and so are those with as many numbers as the last
    one, flattened; others have no place, and should not change. Maps change in shares of their side, which is right after padding and
    strides; where an unpadded layer has cut the edge off, a turn or a shear still is what it was, a shift or a tilt is not. What lies
    outside of pictures and maps is taken to be their mean along the edge. Outputs that are not in floating point have no row.

    A group axis turns along under ``turned``, where it is an axis of its own and the last fibre that a layer named is one of a cyclic
    or dihedral group. The fibre's matrices are those of multiples of 360°/n; between them the generator is taken whose powers they are.
    What changes its sign with each step of 360°/n has none, and is left alone.

    Errors add up from layer to layer, and may cancel: a row says what has gone wrong so far, not what its layer did. A pointwise
    nonlinearity errs, for between the pixels what was read off first and bent then is not what was bent first.

    Examples
    --------
    >>> _ = torch.manual_seed(0)
    >>> x = torch.rand(1, 1, 9, 9, dtype=torch.float64)
    >>> corner = nn.Conv2d(1, 1, 9, bias=False).double()  # one number for the picture, wherever its ink is
    >>> rows = lie_derivatives(nn.Sequential(nn.Identity(), corner, nn.Flatten()), x, turned).rows
    >>> [(row.layer, row.error > 0.001) for row in rows]
    [('Identity', False), ('Conv2d', True), ('Flatten', True)]
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: got {type(model).__name__}; give an nn.Module, which can be listened to")
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"x: got {type(x).__name__}; give a tensor of pictures")
    if x.dtype != torch.float64 or x.ndim != 4:
        raise ValueError(
            f"x: got {x.dtype}, {tuple(x.shape)}; give float64 pictures (n, channels, height, width)"
        )
    weights = [p.dtype for p in model.parameters() if p.is_floating_point()]
    if weights and torch.float64 not in weights:
        raise ValueError(f"model: its weights are {weights[0]}; convert it by model.double()")
    places = change_out is None
    move = _about_the_edge(change) if places else change
    if move(x, 0.0).shape != x.shape or not torch.allclose(move(x, 0.0), x, atol=1e-9):
        raise ValueError("change: with amount 0 it must leave pictures, and their shape, as they are")
    with torch.random.fork_rng(devices=[]):
        plain, again = (calls(model, x.clone()) for _ in range(2))  # for a layer may work in place
        ahead, back = (calls(model, move(x, amount)) for amount in (STEP, -STEP))
    move_out = move if places else change_out
    rows, before, fibre = [], x.shape, None
    for key, call in plain.items():
        y, fibre = call.output, call.fibre or fibre
        others = [run[key].output for run in (again, ahead, back) if key in run]
        if not call.shown or not y.is_floating_point() or [y.shape] * 3 != [other.shape for other in others]:
            continue
        if not torch.equal(others[0], y):
            raise ValueError(f"model: {call.name} gives other numbers for the same input; it draws some")
        reading, maps = "no place", None
        if y.ndim > 3:
            reading, maps, before = "map", y, y.shape
        elif y.ndim == 2 and len(y) == before[0] and y[0].numel() == math.prod(before[1:]):
            reading, maps = "map, flattened", y.view(before)
        wanted = torch.zeros_like(y)
        if maps is not None:
            wanted = (move_out(maps, STEP) - move_out(maps, -STEP)) / (2 * STEP)
            if change is turned and places and fibre is not None and maps.shape[2:-2] == (fibre.size,):
                reading += f", {fibre.name} fibre"
                wanted = wanted + torch.einsum("fg,ncghw->ncfhw", _per_degree(fibre).to(maps), maps)
        error = (others[1] - others[2]) / (2 * STEP) - wanted.reshape(y.shape)
        size = torch.linalg.vector_norm(y)
        relative = float(torch.linalg.vector_norm(error) / size) if size > 0 else math.nan
        rows.append(LieRow(call.name, call.kind, tuple(y.shape), reading, relative))
    return LieDerivatives(tuple(rows), getattr(change, "__name__", "the change"))


def _about_the_edge(change: Callable) -> Callable:
    """Return a change that takes each map to go on beyond its edge as it is along it, in the mean."""

    def move(maps: torch.Tensor, amount: float) -> torch.Tensor:
        inner = maps[..., 1:-1, 1:-1]
        along = maps.shape[-2] * maps.shape[-1] - inner.shape[-2] * inner.shape[-1]
        edge = ((maps.sum((-2, -1)) - inner.sum((-2, -1))) / along)[..., None, None]
        return change(maps - edge, amount) + edge

    return move


def _per_degree(fibre: Representation) -> torch.Tensor:
    """Return the generator A of the turns of a fibre, of shape (F, F).

    exp(A · 360/n) is the matrix of the n-th of a turn, but for the part that changes its sign, which stays: there A is 0, for the real
    part of ±πi times a projection is.
    """
    values, vectors = np.linalg.eig(fibre.matrices[fibre.group.generators[0]])
    generator = (vectors * (1j * np.angle(values))) @ np.linalg.inv(vectors)
    return torch.from_numpy(generator.real.copy()) * (fibre.group.degree / 360)
