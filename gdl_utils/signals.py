"""Signals X(Ω, C): what lives on a domain, and how a group moves it.

When a group moves the domain it carries every signal along: the value that was at point u is found at g·u afterwards.
So the moved signal reads, at u, the old one at the point that has come there:

    (g·x)(u) = x(g⁻¹·u)

The inverse is what makes it an action, (gh)·x = g·(h·x); without it the order is reversed, and no abelian group shows it.
Where the values have an inner structure of their own, the *fibre*, the group may mix its entries too, by a matrix:
(g·x)(u) = ρ(g) x(g⁻¹·u).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from numpy.typing import ArrayLike

from gdl_utils._checks import check_size
from gdl_utils.domains import Domain
from gdl_utils.representations import Representation, trivial
from gdl_utils.representations import complement as complement  # where they were first
from gdl_utils.representations import regular as regular
from gdl_utils.representations import sign as sign
from gdl_utils.representations.representation import as_representation

__all__ = ["SignalSpace"]


class SignalSpace:
    """All signals on a domain with values in a fibre, and the group's action on them.

    Parameters
    ----------
    domain : Domain
        Where the signals live.
    fibre : Representation, or sequence of matrices of shape (F, F), optional
        What they are at each point, or what each generator of the group does to it; by default ``trivial(domain.group)``.

    Raises
    ------
    TypeError, ValueError
        If the fibre is none, or belongs to another group than the domain, or the matrices are no representation of the group.

    Notes
    -----
    Signals are tensors ``(…, F, *domain.shape)``, for example ``(batch, channels, F, height, width)``; a trivial fibre has no
    axis: ``(batch, channels, height, width)``. The group moves the last axes and leaves batch and channels alone. Where the
    domain has a mask (a hexagonal grid), what lies outside it must be 0.

    Examples
    --------
    >>> from gdl_utils.domains import square_grid
    >>> from gdl_utils.groups import cyclic
    >>> space = SignalSpace(square_grid(2, cyclic(4)))
    >>> space.act(1, torch.tensor([[1, 2], [3, 4]]))  # a quarter-turn, counter-clockwise
    tensor([[2, 4],
            [1, 3]])
    """

    def __init__(self, domain: Domain, fibre: Representation | Sequence[ArrayLike] | None = None):
        if not isinstance(domain, Domain):
            raise TypeError(f"domain: got {type(domain).__name__}; square_grid, torus, nodes, … make one")
        fibre = trivial(domain.group) if fibre is None else fibre
        fibre = as_representation("fibre", fibre, domain.group, "domain")
        self.domain, self.fibre, self.group = domain, fibre, domain.group
        self.shape = (*fibre.axis, *domain.shape)
        # Where the value at each point comes from: g⁻¹·u. Sorting a permutation's values inverts it. Of a large torus one row at a time.
        listed = isinstance(domain.permutation, np.ndarray)
        self._source = torch.from_numpy(np.argsort(domain.permutation, axis=1)) if listed else None
        # Where each entry of the fibre comes from and what it is multiplied by, if each comes from a single one.
        single = (np.count_nonzero(fibre.matrices, axis=2) == 1).all()
        self._entry = torch.from_numpy((fibre.matrices != 0).argmax(axis=2)) if single else None
        factors = fibre.matrices.sum(axis=2)
        whole = single and np.isin(factors, (-1, 1)).all()
        self._signs = (
            None
            if whole and (factors == 1).all()
            else torch.from_numpy(factors.astype("i1" if whole else float))
        )
        # The points' places in the flat tensor, where some of its entries are none.
        self._places = None if domain.mask.all() else torch.from_numpy(np.flatnonzero(domain.mask))

    def __repr__(self) -> str:
        return f"SignalSpace({self.domain.name}, {self.fibre.name} fibre of {self.group.name})"

    def act(self, g: int, x: torch.Tensor) -> torch.Tensor:
        """Return g·x, the signal after element g has moved it.

        Parameters
        ----------
        g : int
            Number of an element of the group.
        x : tensor of shape (…, F, ``*domain.shape``), without F for a trivial fibre
            The signal, or any stack of signals.

        Returns
        -------
        tensor of the same shape and dtype

        Raises
        ------
        TypeError, IndexError
            If g is no element's number, or x holds integers where the fibre's matrices do not.
        ValueError
            If the last axes are not those of the space, or x is not 0 outside of the domain's mask.
        """
        g = self.group.check_element(g)
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"x: got {type(x).__name__}; a signal is a torch tensor")
        if tuple(x.shape[-len(self.shape) :]) != self.shape:
            raise ValueError(f"x: got shape {tuple(x.shape)}; the last axes of {self!r} are {self.shape}")
        moved = self._move_points(g, x.flatten(-len(self.domain.shape))).unflatten(-1, self.domain.shape)
        return self._mix_fibre(g, moved)

    def _mix_fibre(self, g: int, x: torch.Tensor) -> torch.Tensor:
        """Apply ρ(g) to the axis of the fibre."""
        axis = x.ndim - len(self.shape)
        if g == self.group.identity:  # what moves nothing leaves all as it is
            return x
        numbers = x.dtype.is_floating_point or x.dtype.is_complex
        if not (numbers or self._signs is None or (self._signs.dtype == torch.int8 and x.dtype.is_signed)):
            raise TypeError(f"x: got {x.dtype}; the {self.fibre.name} fibre needs floating-point numbers")
        if self._entry is not None:  # entries move and change their size, and none meets another
            moved = x.index_select(axis, self._entry[g].to(x.device)) if self.fibre.axis else x
            if self._signs is None:
                return moved
            return moved * self._signs[g].to(x).reshape(*self.fibre.axis, *(1,) * len(self.domain.shape))
        rho = torch.tensor(self.fibre.matrices[g], dtype=x.dtype, device=x.device)
        with no_autocast(x.device):  # what moves a signal is no layer
            return torch.tensordot(rho, x, dims=([1], [axis])).movedim(0, axis)

    def _move_points(self, g: int, flat: torch.Tensor) -> torch.Tensor:
        """Move the points of signals whose space is flat, shape (…, entries)."""
        if self._source is None:
            source = torch.from_numpy(np.argsort(self.domain.permutation[g])).to(flat.device)
        else:
            source = self._source[g].to(flat.device)
        if self._places is None:
            return flat.index_select(-1, source)
        places = self._places.to(flat.device)
        on_points = flat.index_select(-1, places)
        seen = not (torch.compiler.is_compiling() or flat.is_meta)  # values can be looked at
        if seen and torch.count_nonzero(flat) != torch.count_nonzero(on_points):
            raise ValueError(
                f"x: is not 0 outside of the {self.domain.name}'s mask; multiply it by torch.from_numpy(domain.mask) first"
            )
        return torch.zeros_like(flat).index_copy(-1, places, on_points.index_select(-1, source))

    def matrix(self, g: int) -> torch.Tensor:
        """Return the matrix of the action of g on flattened signals, shape (N, N) with N = F · len(domain), float64.

        The order is that of the tensor: the fibre's entries one after the other, each with all points (those of the mask).
        """
        g = self.group.check_element(g)
        check_size("g", (self.fibre.size * len(self.domain)) ** 2, f"the matrix on {self!r}")
        turn = np.zeros((len(self.domain),) * 2)
        turn[self.domain.permutation[g], np.arange(len(self.domain))] = 1
        return torch.from_numpy(np.kron(self.fibre.matrices[g], turn))


def no_autocast(device: torch.device) -> AbstractContextManager:
    """Return a context in which numbers keep their type under autocast too."""
    on = device.type != "meta" and torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if on else nullcontext()


def as_space(argument: str, space: SignalSpace | Domain) -> SignalSpace:
    """Return a signal space as it is, and a domain as the space of its plain signals; refuse anything else in words."""
    if isinstance(space, Domain):
        return SignalSpace(space)
    if not isinstance(space, SignalSpace):
        raise TypeError(
            f"{argument}: got {type(space).__name__}; give a SignalSpace, or a Domain for its plain signals"
        )
    return space
