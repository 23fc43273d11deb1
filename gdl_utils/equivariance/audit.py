"""The audit: the equivariance error after every layer of a model, and where equivariance is lost first."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from gdl_utils.domains import Domain
from gdl_utils.equivariance.calls import Input, calls
from gdl_utils.equivariance.measure import BOUND
from gdl_utils.equivariance.table import Table
from gdl_utils.equivariance.tries import AuditRow, Tries
from gdl_utils.groups import Group
from gdl_utils.signals import SignalSpace

MAX_TRIED = 128  # of a larger group, some are tried: see _elements


@dataclass(frozen=True, repr=False)
class Audit(Table):
    """The error after every layer, in the order in which they ran.

    Attributes
    ----------
    rows : tuple of AuditRow
        Name and kind of each layer, shape of its output, how the group was taken to act on it, on how many elements this was tried,
        and the largest relative error over these: NaN where nothing is shown, since the output is constant or fits no reading.
    group : str
        Name of the group.
    bound : float
        Largest error that counts as rounding.
    output_holds : bool
        Whether what the model puts out in the end is within the bound. Then a layer before it that errs was read wrongly, or what it
        lost is restored, as by an average over the group.
    """

    rows: tuple[AuditRow, ...]
    group: str
    bound: float
    output_holds: bool = False

    @property
    def lost_at(self) -> str | None:
        """Name of the first layer whose output errs beyond the bound; None where there is none, or the model's own output holds."""
        return None if self.output_holds else next((row.name for row in self._beyond()), None)

    def _beyond(self) -> list[AuditRow]:
        return [row for row in self.rows if row.error > self.bound]

    def _table(self) -> list[tuple[str, ...]]:
        """Head and rows, what matters first; the number of elements stands where it changes, behind the reading."""
        lines, elements = [("layer", "error", "output", "read as", "kind")], None
        for row in self.rows:
            error = f"≤ {self.bound:g}" if row.error <= self.bound else f"{row.error:.2g}"
            error = "shows nothing" if math.isnan(row.error) else error
            words = "restored later" if self.output_holds else "lost here"
            lost = f"  <- {words}" if row is next(iter(self._beyond()), None) else ""
            shape = "×".join(map(str, row.shape[1:])) or "1"
            tried = f"; {row.elements} elements" if row.elements != elements else ""
            elements = row.elements
            lines.append((row.name, error + lost, shape, row.reading + tried, row.layer))
        return lines


def audit(
    model: nn.Module, x: Any, group: Group | Domain | SignalSpace, *, bound: float | None = None
) -> Audit:
    """Measure ``|f(g·x) - g·f(x)| / |f(x)|`` after every layer of a model.

    How the group acts on the input is taken from ``group``; how it acts on what a layer puts out is inferred from the output's
    shape, and the audit says what it assumed.

    Parameters
    ----------
    model : nn.Module
        Any model. It runs in evaluation mode, without gradients, and is left as it was.
    x : tensor of shape (batch, …), or a tuple or dict of what the model takes
        The input; random numbers, or data. Double precision tells what is exact from what is nearly so. A tensor ends in the axes of
        the group's space, ``(batch, …, *space.shape)``, or has them before its channels, as sets do, ``([batch,] *space.shape, channels)``;
        where both fit, space is last. Of several inputs, those that have no such axes stay as they are; an ``Adjacency`` is renumbered, and
        on nodes so is a matrix (…, n, n) that is not the first.
    group : SignalSpace, Domain or Group
        How the input moves: a signal space, a domain (signals with a trivial fibre), or a group, which then acts on a square or
        hexagonal grid (x has four axes), a cubic grid (five), a cycle or nodes, whichever of these knows it first.
    bound : float, optional
        Largest error that counts as rounding; by default 1e-12 in float64 and 1e-5 in float32.

    Returns
    -------
    Audit
        Print it for a table, or let a cell end in it. ``lost_at`` names the first layer whose output is not equivariant, if the model's
        is not.

    Raises
    ------
    TypeError
        If model is no module, x holds no tensor, or the model puts out none that can be found.
    ValueError
        If the shape of x does not fit the group, the group has one element only, x is not in floating point or of another type than
        the model, holds an edge list, or the model puts out other numbers for the same input.

    Warns
    -----
    UserWarning
        If the model's output is constant: then nothing is shown.

    Notes
    -----
    An output is read as a signal with a group axis before the axes of space, or folded into the channels; as a signal without
    one, with its channels before space or after it; as one of these in a row (the tokens of a transformer, also behind a class token)
    or all flattened; as pairs of points; or as something that the group leaves alone. Where several fit the shape, one that holds to the
    bound is taken, or that with the smallest error: a layer that respects the group in any of these ways does respect it. Behind the
    loss the reading stays what it was.

    After pooling on a torus, only those shifts are tried that the smaller torus has, there and in all that follows: a stride of 2 leaves the even
    shifts, and the number of elements tried says so. Of a group of more than 128 elements, some are tried: a dozen, the generators, and
    such powers of them as a stride leaves. Where layers carry the axis of another group than the audited one, it is read in the plane
    only (C_4 of D_8); in space such rows err, as C_4 of O, and the output alone tells.

    What a model does between its layers, as ``x + layer(x)``, has a row only where the symmetry is lost there: by the name of the module
    whose output it makes, or as ``input of`` the next layer. An output that does not depend on x is constant, and shows nothing. Where the layers
    that run depend on the input, calls are matched by name, and what only some of the moved inputs reach is left to the output.

    Examples
    --------
    >>> from gdl_utils.groups import cyclic
    >>> model = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1)).double()
    >>> audit(model, torch.randn(2, 1, 8, 8, dtype=torch.float64), cyclic(4)).lost_at
    '1'
    """
    if not isinstance(model, nn.Module) or isinstance(model, torch.jit.ScriptModule):
        raise TypeError(f"model: got {type(model).__name__}; give an nn.Module, which can be listened to")
    given = Input(x, group)
    space, dtype = given.space, given.dtype
    if bound is None:
        if dtype not in BOUND:
            raise ValueError(f"x: got {dtype}; exactness is told in float64 or float32 (or give bound=)")
        bound = BOUND[dtype]
    if len(space.group) == 1:
        raise ValueError(f"group: {space.group.name} moves nothing, so there is nothing to measure")
    given.check_type(model)
    with torch.random.fork_rng(devices=[]):  # a model may draw
        tries = Tries(calls(model, given.moved(space.group.identity)), given, bound)
        tries.compare(None, calls(model, given.scrambled()))
        for g in _elements(space.group):  # one at a time, and what it gives is compared and dropped
            tries.compare(g, calls(model, given.moved(g)))
    rows, output_holds = tries.rows()
    return Audit(rows, space.group.name, bound, output_holds)


def _elements(group: Group) -> list[int]:
    """List all elements; of a large group a dozen, and the powers g, …, gᵈ, … by divisors d of each generator's order.

    A stride by d leaves of a shift g the power gᵈ, so that there is something to try after every stride.
    """
    if len(group) <= MAX_TRIED:
        return list(range(len(group)))
    chosen = set(range(0, len(group), len(group) // 12))
    for generator in group.generators:
        powers = [generator]
        while powers[-1] != group.identity:
            powers.append(group.times(generator, powers[-1]))
        chosen.update(power for d, power in enumerate(powers, start=1) if len(powers) % d == 0)
    return sorted(chosen)
