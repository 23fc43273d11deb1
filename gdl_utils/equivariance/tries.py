"""What an audit has found: the outputs of moved inputs beside the moved outputs, in each reading, and a row for each call."""

import math
import warnings
from typing import Any, NamedTuple

import torch

from gdl_utils.equivariance.calls import OUTPUT, ROOT, Input
from gdl_utils.equivariance.readings import Reading, Readings


class AuditRow(NamedTuple):
    """What was found after one layer."""

    name: str
    layer: str
    shape: tuple[int, ...]
    reading: str
    elements: int
    error: float


class Tries:
    """What the calls of a model gave, and how far those of moved inputs are from it, in all readings."""

    def __init__(self, plain: dict, given: Input, bound: float):
        self.plain, self.given, self.bound = plain, given, bound
        self.identity = given.space.group.identity
        self.readings, self.errors, self.constant, before = {}, {}, set(), given.shape
        readings = Readings(given.space)
        for key, call in plain.items():
            shape = tuple(given.batched(call.output).shape)
            readings.learn(call.fibre)
            self.readings[key] = readings.of(shape, before)
            self.errors[key] = [{} for _ in self.readings[key]]
            before = shape if call.shown and len(shape) > 2 else before
        self.everywhere = set(plain)  # calls that all moved inputs make, with outputs of the same shape
        self.parted = False  # whether some make others

    def compare(self, g: int | None, others: dict) -> None:
        """Note the errors of one moved input; for g = None, of an unrelated one: whether an output depends on x at all."""
        if g is not None:
            shown = [{k for k in run if run[k].shown and k[0] != OUTPUT} for run in (self.plain, others)]
            self.parted |= shown[0] != shown[1]
        for key in self.plain:
            if key not in others or others[key].output.shape != self.plain[key].output.shape:
                if g is not None:
                    self.everywhere.discard(key)
                    self.errors[key][-1][g] = math.inf
                continue
            y, other = (self.given.batched(run[key].output) for run in (self.plain, others))
            if g is None:
                if finite_relative_error(other, y, y) <= self.bound or not (y.any() or other.any()):
                    self.constant.add(key)
                continue
            for reading, errors in zip(self.readings[key], self.errors[key], strict=True):
                wanted = reading.act(g, reading.unfold(y))
                if wanted is not None:
                    errors[g] = finite_relative_error(reading.unfold(other), wanted, y)

    def rows(self) -> tuple[tuple[AuditRow, ...], bool]:
        """Choose a reading for each call, in their order; and say whether the model's own output holds."""
        rows, hidden, ends = [], None, []  # hidden: the first place between layers where the symmetry is lost
        elements = kind = lost = None
        for key, call in self.plain.items():
            end, shape = key[0] in (OUTPUT, ROOT), tuple(call.output.shape)
            parted = self.parted or key not in self.everywhere
            shown = call.shown or (end and parted)
            if key not in self.everywhere and not end:
                continue
            if key in self.constant:
                ends += [math.nan] * end
                if shown:
                    rows.append(AuditRow(call.name, call.kind, shape, "constant", 0, math.nan))
                continue
            reading, errors = self._best(key, elements, kind if lost else None)
            if self.bound < errors.get(self.identity, 0) < math.inf:
                raise ValueError(
                    f"model: {call.name} gives other numbers for the same input; it draws some, and nothing can be measured"
                )
            error = max(errors.values())
            ends += [error] * end
            if error > self.bound and call.inner and self._is_strange(key):
                if shown:
                    rows.append(
                        AuditRow(call.name, call.kind, shape, "unknown: fits no reading", 0, math.nan)
                    )
                continue
            row = AuditRow(call.name, call.kind, shape, reading.name, len(errors), error)
            if not shown:
                hidden = row if hidden is None and not lost and error > self.bound else hidden
                continue
            if error > self.bound and not lost:
                lost = True
                rows += [] if hidden is None else [hidden]
            elif not lost:
                hidden = None  # it was read wrongly: what follows is equivariant
            elements, kind = list(errors), reading.kind  # what a smaller torus has not is gone for good
            rows.append(row)
        if hidden is not None and not lost:
            rows.append(hidden)
        if rows and math.isnan(rows[-1].error):
            words = f"the output of {rows[-1].name} is {rows[-1].reading}"
            warnings.warn(f"model: {words}, which shows nothing", stacklevel=3)
        return tuple(rows), bool(ends) and all(error <= self.bound for error in ends)

    def _is_strange(self, key: Any) -> bool:
        """Say whether an output cannot be read: it has places, and none that fit, or not the batch's examples."""
        shape, given = self.given.batched(self.plain[key].output).shape, self.given.shape
        return (len(self.readings[key]) == 1 and not set(shape[2:]) <= {1}) or shape[0] != given[0]

    def _best(
        self, key: Any, elements: list[int] | None, kind: str | None
    ) -> tuple[Reading, dict[int, float]]:
        """Return the reading to take and its errors; behind the loss, that of the same kind as before."""
        found = []
        for reading, errors in zip(self.readings[key], self.errors[key], strict=True):
            tried = {g: e for g, e in errors.items() if elements is None or g in elements}
            if set(tried) - {self.identity}:  # of the identity nothing can be learned
                found.append((reading, tried))
        held = [pair for pair in found if max(pair[1].values()) <= self.bound]
        if key in self.everywhere and held:
            return max(held, key=lambda pair: len(pair[1]))
        if key not in self.everywhere:  # outputs of several shapes
            return self.readings[key][-1], self.errors[key][-1]
        if kind is not None:
            return next((pair for pair in found if pair[0].kind == kind), found[0])
        placed = [pair for pair in found if pair[0].kind != "invariant"]  # what has places is read as such
        flat = self.given.batched(self.plain[key].output).ndim == 2
        return min(found if flat or not placed else placed, key=lambda pair: max(pair[1].values()))


def finite_relative_error(y: torch.Tensor, wanted: torch.Tensor, size: torch.Tensor) -> float:
    """Return |y - wanted| / |size| over what is finite; infinite where one is finite alone, or nothing is."""
    y, wanted, size = (t.cpu().to(torch.promote_types(t.dtype, torch.float64)) for t in (y, wanted, size))
    finite = wanted.isfinite()
    if not finite.all():
        alike = torch.equal(y.nan_to_num(torch.pi)[~finite], wanted.nan_to_num(torch.pi)[~finite])
        if not alike or not finite.any():
            return math.inf
        y, wanted, size = y[finite], wanted[finite], size[size.isfinite()]
    error = torch.linalg.vector_norm(y - wanted) / torch.linalg.vector_norm(size)
    return float(error.nan_to_num(nan=torch.inf, posinf=torch.inf))
