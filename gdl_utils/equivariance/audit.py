"""The audit: the equivariance error after every layer of a model, and where equivariance is lost first."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import torch
from torch import nn

from gdl_utils.domains import Domain, cubic_grid, cycle, hexagonal_grid, nodes, square_grid
from gdl_utils.equivariance.measure import BOUND
from gdl_utils.groups import Group
from gdl_utils.signals import SignalSpace, regular

MAX_ELEMENTS = 128  # of a larger group, some are tried: see _elements


class AuditRow(NamedTuple):
    """What was found after one layer."""

    name: str
    layer: str
    shape: tuple[int, ...]
    reading: str
    elements: int
    error: float


@dataclass(frozen=True)
class Audit:
    """The error after every layer, in the order in which they ran.

    Attributes
    ----------
    rows : tuple of AuditRow
        Name and kind of each layer, shape of its output, how the group was taken to act on it, on how many elements this was tried,
        and the largest relative error over these.
    group : str
        Name of the group.
    bound : float
        Largest error that counts as rounding.
    """

    rows: tuple[AuditRow, ...]
    group: str
    bound: float

    @property
    def lost_at(self) -> str | None:
        """Name of the first layer whose output errs beyond the bound; None where there is none."""
        return next((row.name for row in self.rows if row.error > self.bound), None)

    def _table(self) -> list[tuple[str, ...]]:
        """Head and rows, what matters first; the number of elements stands where it changes, behind the reading."""
        lines, elements = [("layer", "error", "output", "read as", "kind")], None
        for row in self.rows:
            error = f"≤ {self.bound:g}" if row.error <= self.bound else f"{row.error:.2g}"
            lost = "  <- lost here" if row.name == self.lost_at else ""
            shape = "×".join(map(str, row.shape[1:])) or "1"
            tried = f"; {row.elements} elements" if row.elements != elements else ""
            elements = row.elements
            lines.append((row.name, error + lost, shape, row.reading + tried, row.layer))
        return lines

    def __str__(self) -> str:
        lines = self._table()
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        padded = [
            "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)) for line in lines
        ]
        return "\n".join(line.rstrip() for line in padded)

    def _repr_html_(self) -> str:
        head, *rows = ([escape(cell) for cell in line] for line in self._table())
        head = "".join(f'<th scope="col">{cell}</th>' for cell in head)
        rows = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
        rows = "".join(f"<tr>{row}</tr>" for row in rows)
        return f'<table class="gdl-audit"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'

    __repr__ = __str__


def audit(
    model: nn.Module, x: torch.Tensor, group: Group | Domain | SignalSpace, *, bound: float | None = None
) -> Audit:
    """Measure ``|f(g·x) - g·f(x)| / |f(x)|`` after every layer of a model.

    How the group acts on the input is taken from ``group``; how it acts on what a layer puts out is inferred from the output's
    shape, and the audit says what it assumed.

    Parameters
    ----------
    model : nn.Module
        Any model. It runs in evaluation mode, without gradients, and is left as it was.
    x : tensor of shape (batch, …)
        The input; random numbers, or data. Double precision tells what is exact from what is nearly so.
    group : SignalSpace, Domain or Group
        How the input moves: a signal space, a domain (signals with a trivial fibre), or a group, which then acts on a square or
        hexagonal grid (x has four axes), a cubic grid (five), a cycle or nodes, whichever of these knows it first.
    bound : float, optional
        Largest error that counts as rounding; by default 1e-12 in float64 and 1e-5 in float32.

    Returns
    -------
    Audit
        Print it for a table, or let a cell end in it. ``lost_at`` names the first layer whose output is not equivariant.

    Raises
    ------
    ValueError
        If the shape of x does not fit the group, the group has one element only, x is not in floating point, or the model puts out no tensor.

    Notes
    -----
    An output is read as a signal with a group axis before the axes of space, or folded into the channels; as a signal without
    one, with its channels before space or after it; as one of these, flattened; or as something that the group leaves alone. Where
    several fit the shape, the one with the smallest error is taken: a layer that respects the group in any of these ways does
    respect it. After pooling on a torus, only those shifts are tried that the smaller torus has, there and in all that follows: a
    stride of 2 leaves the even shifts, and the number of elements tried says so. Of a group of more than 128 elements, some are
    tried: a dozen, the generators, and such powers of them as a stride leaves. An output that is zero or not finite shows nothing,
    and counts as lost.

    Examples
    --------
    >>> from gdl_utils.groups import cyclic
    >>> model = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1)).double()
    >>> audit(model, torch.randn(1, 1, 8, 8, dtype=torch.float64), cyclic(4)).lost_at
    '1'
    """
    space = _input_space(x, group)
    if bound is None:
        if x.dtype not in BOUND:
            raise ValueError(f"x: got {x.dtype}; exactness is told in float64 or float32 (or give bound=)")
        bound = BOUND[x.dtype]
    if len(space.group) == 1:
        raise ValueError(f"group: {space.group.name} moves nothing, so there is nothing to measure")
    elements = _elements(space.group)
    plain = _outputs(model, x.clone())  # cloned, for the model may work in place
    moved = {g: _outputs(model, space.act(g, x)) for g in elements}
    if not plain:
        raise ValueError("model: puts out no tensor, and no layer of it does, so there is nothing to measure")
    rows, before = [], x
    for i, (name, layer, y) in enumerate(plain):
        best = None
        for reading, unfold, act in _readings(space.domain, y, before):
            wanted = {g: act(g, unfold(y)) for g in elements}
            errors = {
                g: _relative_error(unfold(moved[g][i][2]) - w, y) for g, w in wanted.items() if w is not None
            }
            if set(errors) == {space.group.identity}:  # of the identity nothing can be learned
                continue
            if best is None or max(errors.values()) < max(best[1].values()):
                best = reading, errors
        reading, errors = best
        elements = list(errors)  # shifts that a smaller torus has not are gone for good
        rows.append(AuditRow(name, layer, tuple(y.shape), reading, len(elements), max(errors.values())))
        before = y if y.ndim > 2 else before
    return Audit(tuple(rows), space.group.name, bound)


def _input_space(x: torch.Tensor, group: Group | Domain | SignalSpace) -> SignalSpace:
    if isinstance(group, SignalSpace):
        space = group
    elif isinstance(group, Domain):
        space = SignalSpace(group)
    else:
        space = SignalSpace(_domain(x, group))
    if tuple(x.shape[-len(space.shape) :]) != space.shape or x.ndim <= len(space.shape):
        raise ValueError(
            f"x: got shape {tuple(x.shape)}; its last axes must be {space.shape}, after the batch"
        )
    return space


def _domain(x: torch.Tensor, group: Group) -> Domain:
    """Return the first domain with as many axes as x has beside batch and channels on which the group is known to act."""
    reasons = []
    for make in {4: (square_grid, hexagonal_grid), 5: (cubic_grid,)}.get(x.ndim, (cycle, nodes)):
        try:
            return make(x.shape[-1], group)
        except ValueError as error:
            reasons.append(str(error))
    raise ValueError(f"group: acts on no domain that fits x of shape {tuple(x.shape)}; {'; '.join(reasons)}")


def _elements(group: Group) -> list[int]:
    """List all elements; of a large group a dozen, and the powers g, …, gᵈ, … by divisors d of each generator's order.

    A stride by d leaves of a shift g the power gᵈ, so that there is something to try after every stride.
    """
    if len(group) <= MAX_ELEMENTS:
        return list(range(len(group)))
    chosen = set(range(0, len(group), len(group) // 12))
    for generator in group.generators:
        powers = [generator]
        while powers[-1] != group.identity:
            powers.append(group.times(generator, powers[-1]))
        chosen.update(power for d, power in enumerate(powers, start=1) if len(powers) % d == 0)
    return sorted(chosen)


def _relative_error(difference: torch.Tensor, y: torch.Tensor) -> float:
    """Return |difference| / |y|; infinite where y is zero or not finite, for then nothing is shown."""
    error = torch.linalg.vector_norm(difference) / torch.linalg.vector_norm(y)
    return float(error.nan_to_num(nan=torch.inf, posinf=torch.inf))


def _outputs(model: nn.Module, x: torch.Tensor) -> list[tuple[str, str, torch.Tensor]]:
    """Run the model, and return (name, kind, output) of each layer without parts, in the order of the calls."""
    found, hooks, modes = [], [], {module: module.training for module in model.modules()}
    leaves = [
        (name or "model", module) for name, module in model.named_modules() if not list(module.children())
    ]

    def note(name: str) -> Callable:
        def hook(module, _, output):
            if isinstance(output, torch.Tensor):  # cloned, for the next layer may work in place
                found.append((name, type(module).__name__, output.clone()))

        return hook

    try:
        hooks = [module.register_forward_hook(note(name)) for name, module in leaves]
        model.eval()
        with torch.no_grad():
            output = model(x)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    if isinstance(output, torch.Tensor) and not (found and torch.equal(found[-1][2], output)):
        found.append(("output", type(model).__name__, output.detach().clone()))
    return found


def _readings(domain: Domain, y: torch.Tensor, before: torch.Tensor):
    """Yield (words, unfold, act) for each way in which the group may act on an output of this shape."""
    d, turns = len(domain.shape), domain.point_group
    shapes = [("", tuple(y.shape))]
    if y.ndim == 2 and y[0].numel() == before[0].numel():
        shapes.append((", flattened", (len(y), *before.shape[1:])))
    for words, shape in shapes:
        fits = len(shape) > d and len(set(shape[-d:])) == 1
        smaller = domain.resize(shape[-1]) if fits else None
        if smaller is not None:
            name = smaller.name + words
            yield name, _reshaped(shape, smaller), _acting(domain, SignalSpace(smaller))
            axis = None
            if len(shape) > d + 1 and shape[-d - 1] == len(turns) > 1:
                axis, unfolded = "group axis", shape
            elif len(shape) == d + 2 and len(turns) > 1 and shape[1] % len(turns) == 0:
                axis, unfolded = "group in channels", (-1, len(turns), *shape[2:])
            if axis is not None:
                lifted = SignalSpace(smaller, _lifted(smaller))
                yield f"{name}, {axis}", _reshaped(unfolded, smaller), _acting(domain, lifted)
        fits = len(shape) == d + 2 and len(set(shape[1:-1])) == 1
        smaller = domain.resize(shape[1]) if fits else None
        if smaller is not None:
            masked = _reshaped(shape, smaller, last=True)
            yield f"{smaller.name}, channels last{words}", masked, _acting(domain, SignalSpace(smaller))
        if len(turns) > 1 and len(shape) > 2 and shape[-1] == len(turns):
            yield f"group axis alone{words}", _reshaped(shape), _acting_on_axis(domain)
    yield "invariant", lambda t: t, lambda g, t: t


def _reshaped(shape: tuple[int, ...], domain: Domain | None = None, *, last: bool = False) -> Callable:
    """Return the reading of an output: reshaped, channels before space, without what lies outside of the domain's mask."""
    mask = 1 if domain is None else torch.from_numpy(domain.mask)
    return lambda t: (t.reshape(shape).movedim(-1, 1) if last else t.reshape(shape)) * mask


def _lifted(domain: Domain) -> list:
    """Return what each generator does to the group axis: translations nothing, turns what the regular fibre says."""
    fibre = regular(domain.point_group).matrices
    shifts = len(domain.group) // len(domain.point_group)
    return [fibre[g // shifts] for g in domain.group.generators]


def _acting(domain: Domain, space: SignalSpace) -> Callable:
    """Return (g, t) ↦ g·t for elements g of the larger domain's group; None for a shift that the smaller one has not."""
    d, n, m = len(domain.shape), domain.shape[0], space.domain.shape[0]

    def act(g: int, t: torch.Tensor) -> torch.Tensor | None:
        if len(space.group) != len(domain.group):  # a torus or a cycle, made smaller: element (turn, shifts)
            turn, shift = divmod(g, n**d)
            steps = [shift // n**k % n for k in range(d)]
            if any(step % (n // m) for step in steps):
                return None
            g = turn * m**d + sum(step // (n // m) * m**k for k, step in enumerate(steps))
        return space.act(g, t)

    return act


def _acting_on_axis(domain: Domain) -> Callable:
    fibre, shifts = regular(domain.point_group).matrices, len(domain.group) // len(domain.point_group)
    return lambda g, t: t @ torch.as_tensor(fibre[g // shifts].T, dtype=t.dtype)
