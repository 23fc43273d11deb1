"""How a group may act on what a layer puts out, as far as the shape can tell."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch

from gdl_utils.domains import Domain
from gdl_utils.groups import Group
from gdl_utils.representations import Representation
from gdl_utils.signals import SignalSpace


class Reading(NamedTuple):
    """One way to read an output: what it is taken for, and how the group moves it then."""

    name: str
    kind: str
    unfold: Callable[[torch.Tensor], torch.Tensor]
    act: Callable[[int, torch.Tensor], torch.Tensor | None]  # None for a shift that a smaller torus has not


class Readings:
    """All readings of outputs of a model whose input is a signal of some space."""

    def __init__(self, space: SignalSpace):
        self.space, self.domain = space, space.domain
        self.turns = space.domain.point_group
        self._spaces = {}  # by the sides of the domain: to build one takes time
        self._fibres = []  # those beside the trivial one and the group axis that an output may have
        self.learn(space.fibre)

    def learn(self, fibre: Representation | None) -> None:
        """Note a fibre that a layer puts out, which what follows may have as well, as the audited group acts on it."""
        if fibre is not None and fibre.group != self.space.group:
            fibre = _restricted(fibre, self.turns)
        if not fibre or fibre.matrices.min() == 1 or (fibre.name, fibre.size) == ("regular", len(self.turns)):
            return
        known = [np.array_equal(fibre.matrices, other.matrices) for other in self._fibres]
        self._fibres += [] if any(known) else [fibre]

    def of(self, shape: tuple[int, ...], before: tuple[int, ...]) -> list[Reading]:
        """List the readings of an output, the richest first; the last is "invariant".

        Parameters
        ----------
        shape : tuple of int
            Its shape, the batch first.
        before : tuple of int
            Shape of the last output that was not flat, which this one may be when flattened.
        """
        found = list(self._unfolded(shape))
        if len(shape) == 2 and len(before) > 2 and shape[1] == math.prod(before[1:]):
            whole = (shape[0], *before[1:])
            for name, kind, unfold, act in self._unfolded(whole, ", flattened"):
                again = lambda t, unfold=unfold: unfold(t.reshape(whole))
                found.append(Reading(name, kind, again, act))
        return [*found, Reading("invariant", "invariant", lambda t: t, lambda g, t: t)]

    def _unfolded(self, shape: tuple[int, ...], flat: str = "") -> Iterator[Reading]:
        d = len(self.domain.shape)
        for words, small, channels, move in self._places(shape):
            name = small.domain.name + flat
            mask = torch.from_numpy(small.domain.mask)
            whole = lambda t, move=move, mask=mask: move(t) * mask.to(t.device)
            act = self._acting(small)
            yield Reading(name + words, words, whole, act)
            for label, kind, k, lifted in self._axes(act, d):
                if channels[-1:] == (k,):
                    yield Reading(f"{name}, {label}{words}", kind, whole, lifted)
                elif len(channels) == 1 and channels[0] % k == 0:
                    folded = lambda t, whole=whole, k=k: whole(t).unflatten(1, (-1, k))
                    yield Reading(f"{name}, {kind} in channels{words}", f"{kind} in channels", folded, lifted)
        yield from self._tokens(shape)
        for label, kind, k, alone in self._axes(lambda g, t: t, 0):
            if len(shape) > 2 and shape[-1] == k:
                yield Reading(f"{label} alone", kind, lambda t: t, alone)
            elif len(shape) == 2 and shape[1] % k == 0:
                unfold = lambda t, k=k: t.unflatten(1, (-1, k))
                yield Reading(f"{label} alone, in channels", f"{kind} in channels", unfold, alone)

    def _axes(self, act: Callable, d: int) -> Iterator[tuple[str, str, int, Callable]]:
        """Yield what an axis before the last d may be: words, kind, size, and how the group moves it beside these."""
        for fibre in self._fibres:
            yield f"{fibre.name} fibre", fibre.name, fibre.size, self._mixed(act, fibre, d)
        if len(self.turns) > 1:
            yield "group axis", "group", len(self.turns), self._lifted(act, -d - 1)

    def _places(self, shape: tuple[int, ...]) -> Iterator[tuple[str, SignalSpace, tuple[int, ...], Callable]]:
        """Yield where in a shape space may be: words, the space, the axes of channels, and how to bring space to the end."""
        d, rest = len(self.domain.shape), shape[1:]
        if small := self._resized(rest[-d:]):
            yield "", small, rest[:-d], lambda t: t
        if d > 1 and len(rest) == 2 and (small := self._resized(self._sides(rest[-1]))):
            row = lambda t, sides=small.shape: t.unflatten(-1, sides)
            yield ", in a row", small, rest[:-1], row
        for n, words in ((d, ""), (1, ", in a row"))[: 1 + (d > 1)]:
            # The group axis may stand behind the channels, as GroupLinear has it.
            if len(rest) != n + 1 and not (len(rest) == n + 2 and rest[-1] == len(self.turns) > 1):
                continue
            if small := self._resized(rest[:d] if n == d else self._sides(rest[0])):
                back = lambda t, n=n, sides=small.shape: t.flatten(1, n).movedim(1, -1).unflatten(-1, sides)
                yield f"{words}, channels last", small, rest[n:], back

    def _tokens(self, shape: tuple[int, ...]) -> Iterator[Reading]:
        """Yield readings in which something else stands beside the points: a class token, or a second point (attention)."""
        rest = shape[1:]
        if not self.domain.mask.all():
            return
        if len(rest) == 2 and (small := self._resized(self._sides(rest[0] - 1))):
            act = self._acting(small)

            def beside(g: int, t: torch.Tensor) -> torch.Tensor | None:
                moved = act(g, t[:, 1:].transpose(1, 2).unflatten(-1, small.shape))
                return None if moved is None else torch.cat([t[:, :1], moved.flatten(2).transpose(1, 2)], 1)

            words = "one token, then points"
            yield Reading(f"{small.domain.name}, {words}", words, lambda t: t, beside)
        if len(rest) >= 2 and rest[-1] == rest[-2] and (pair := self._resized(self._sides(rest[-1]))):
            one = self._acting(pair)

            def both(g: int, t: torch.Tensor) -> torch.Tensor | None:
                for _ in range(2):
                    t = one(g, t.unflatten(-1, pair.shape))
                    if t is None:
                        return None
                    t = t.flatten(-len(pair.shape)).transpose(-1, -2)
                return t

            yield Reading(f"pairs of points of {pair.domain.name}", "pairs", lambda t: t, both)
        if len(rest) >= 2 and rest[-1] == rest[-2] and (inner := self._resized(self._sides(rest[-1] - 1))):
            one_of = self._acting(inner)

            def behind_a_token(g: int, t: torch.Tensor) -> torch.Tensor | None:
                for _ in range(2):
                    moved = one_of(g, t[..., 1:].unflatten(-1, inner.shape))
                    if moved is None:
                        return None
                    t = torch.cat([t[..., :1], moved.flatten(-len(inner.shape))], -1).transpose(-1, -2)
                return t

            name = f"one token, then points of {inner.domain.name}, in pairs"
            yield Reading(name, "pairs", lambda t: t, behind_a_token)

    def _resized(self, sides: tuple[int, ...]) -> SignalSpace | None:
        """Return the plain signals on a domain of other sides, if there is one."""
        if len(sides) != len(self.domain.shape) or min(sides) < 1:
            return None
        if sides not in self._spaces:
            domain = self.domain.resize(sides if len(sides) > 1 else sides[0])
            self._spaces[sides] = None if domain is None else SignalSpace(domain)
        return self._spaces[sides]

    def _sides(self, points: int) -> tuple[int, ...]:
        """Return the sides of a domain of so many points, shaped as the input's; () if there is none but a single point."""
        scale = (points / math.prod(self.domain.shape)) ** (1 / len(self.domain.shape)) if points > 1 else 0
        sides = tuple(round(scale * side) for side in self.domain.shape)
        return sides if points > 1 and math.prod(sides) == points else ()

    def _acting(self, small: SignalSpace) -> Callable:
        """Return (g, t) ↦ g·t for elements g of the larger domain's group; None for a shift that the smaller one has not."""
        sides, fewer = self.domain.shape, small.shape

        def act(g: int, t: torch.Tensor) -> torch.Tensor | None:
            if len(small.group) != len(
                self.space.group
            ):  # a torus or a cycle, made smaller: element (turn, shifts)
                turn, shift = divmod(g, math.prod(sides))
                steps = np.multiply(
                    np.unravel_index(shift, sides), fewer
                )  # of a larger one more, of a smaller fewer
                if (steps % sides).any():
                    return None
                g = turn * math.prod(fewer) + int(np.ravel_multi_index(steps // sides, fewer))
            return small.act(g, t)

        return act

    def _lifted(self, act: Callable, axis: int) -> Callable:
        """Return the action that moves an axis for the turns as well: (g·y)[h] = y[g⁻¹h], by the turn of g."""
        shifts = len(self.space.group) // len(self.turns)

        def lifted(g: int, t: torch.Tensor) -> torch.Tensor | None:
            moved = act(g, t)
            came_from = torch.tensor(self.turns.product[self.turns.inverse[g // shifts]])
            return None if moved is None else moved.index_select(axis, came_from.to(t.device))

        return lifted

    def _mixed(self, act: Callable, fibre: Representation, d: int) -> Callable:
        """Return the action that mixes a fibre's entries, an axis before the last d, as well."""
        order, count = len(fibre.group), len(self.space.group) // len(fibre.group)
        point = Domain("point", fibre.group, np.zeros((1, d)), (1,) * d, np.zeros((order, 1), dtype=int))
        mix = SignalSpace(point, fibre)._mix_fibre

        def mixed(g: int, t: torch.Tensor) -> torch.Tensor | None:
            moved = act(g, t)
            if moved is None:
                return None
            return mix(g // count, moved.to(torch.promote_types(moved.dtype, torch.float32)))

        return mixed


def _restricted(fibre: Representation, group: Group) -> Representation | None:
    """Return how a group acts on a fibre of its own or of a larger group: as C_4 in C_8 or D_4 in D_8; None where that is not known."""
    larger, planar = fibre.group, ("cyclic", "dihedral")
    if larger == group:
        return fibre
    known = larger.family in planar and group.family in ("cyclic", larger.family)
    if not known or len(group) == 1 or (n := larger.degree) % group.degree:  # of shifts alone no fibre tells
        return None
    return fibre.restrict(group, [n // group.degree % n, n][: len(group.generators)])
