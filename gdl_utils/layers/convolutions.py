"""Group convolutions: one pair of classes for every finite group on every grid of the book.

A filter is a signal on a small domain, the kernel's points, so the group moves it as it moves an image. A group
convolution turns the filter to every position that the group knows, and slides all of them:

    expand:    W[g] = g·w   for every g in G    (on a grid one gather, on a disk one matrix; made once, from the action)
    convolve:  one ordinary convolution with the filters W

What comes out carries an axis for the group, on which it acts by the regular representation: (g·y)[h](u) = y[g⁻¹h](g⁻¹·u).
See Cohen and Welling (2016), "Group equivariant convolutional networks", equations 10 and 11, for p4 and p4m. Any other
representation can come out as well: then the filters W are all that lead there, each with a weight of its own, as in Weiler and
Cesa (2019), "General E(2)-equivariant steerable CNNs".
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from gdl_utils._checks import check_positive
from gdl_utils.domains import Disk, Domain
from gdl_utils.layers.expansion import tables
from gdl_utils.layers.geometry import Geometry
from gdl_utils.layers.kinds import OfAKind
from gdl_utils.representations import Representation, regular, trivial
from gdl_utils.representations.representation import as_representation
from gdl_utils.signals import no_autocast

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
FUNCTION = {1: nn.functional.conv1d, 2: nn.functional.conv2d, 3: nn.functional.conv3d}


class LiftingConv(OfAKind):
    """Lift a signal on a grid to the group: correlate it with one filter in every position g·w that the group gives it.

    Equivariant to the domain's group, which acts on the output by the regular representation or by ``fibre_out``, and to shifts by
    multiples of the stride. On a disk quarter-turns are exact, other turns as far as pixels allow; see ``disk``.

    Parameters
    ----------
    domain : Domain or Disk
        The kernel's points and the group: ``square_grid(3, dihedral(4))`` for a 3 × 3 kernel of p4m, ``hexagonal_grid(3,
        cyclic(6))`` for the 7 points of p6, ``cubic_grid(3, octahedral())``, ``strand(11, cyclic(2))``; ``disk(5, cyclic(8))``.
    in_channels, out_channels : int
        Number of signals that come in, and of filters.
    fibre : Representation, or sequence of matrices of shape (F, F), one for each generator, optional
        How the group acts on a value of the input; by default trivially (a grey value).
    fibre_out : Representation, or sequence of matrices of shape (F_out, F_out), optional
        How it acts on a value of the output; by default ``regular(domain.group)``.
    stride, dilation : int, or one for each axis of space
        As for ``torch.nn.Conv2d``; alike on axes that the group swaps.
    padding : int, or one for each axis of space, or {"same", "valid"}
        As for ``torch.nn.Conv2d``; alike on axes that the group swaps.
    padding_mode : {"zeros", "circular", "reflect", "replicate"}
        What lies outside of the input. Shifts are exact with "circular" only; with the others they are as far as the border is
        out of sight. On hexagonal grids "zeros" and "circular" only.
    groups : int
        Into how many parts the channels are split, as for ``torch.nn.Conv2d``: a divisor of both numbers of channels; as many as
        ``in_channels`` make a depthwise convolution.
    bias : bool
        Whether to add one learned number to each output channel, the same for all of the group; with ``fibre_out`` a learned
        vector that the group leaves alone, if there is any.
    device, dtype : optional
        Where the parameters lie, and of which type they are.

    Attributes
    ----------
    weight : parameter of shape (out_channels, in_channels // groups, F, len(domain))
        The filters: signals on the kernel's points, which are those of the domain's mask in row-major order; on a disk
        coefficients of its waves. With a ``fibre_out`` that is not regular (out_channels, in_channels // groups, dim): coefficients in an
        orthonormal basis of all equivariant filters.
    bias : parameter of shape (out_channels,), with ``fibre_out`` (out_channels, number of invariant vectors), or None

    Raises
    ------
    TypeError, ValueError
        At once, if an argument does not fit, or no filter leads to ``fibre_out``; in ``forward``, if the input does not fit.
    RuntimeError
        In ``load_state_dict``, if the weights were saved from a layer of another group, kernel or fibre. (A state dict knows as long as it is
        torch's own; one that was made a plain ``dict`` does not.)

    Warns
    -----
    UserWarning
        If turns cannot be exact since size, kernel, padding and stride do not fit: the samples that a stride takes must lie
        symmetrically, (size + 2·padding - dilation·(kernel - 1) - 1) mod stride = 0, and on hexagons mod 2·stride, so that the centre
        is one. Not under ``torch.compile`` and ``torch.export``.

    Notes
    -----
    Takes ``(batch, in_channels, F, *space)`` and gives ``(batch, out_channels, F_out, *space)``, where F_out is ``|G|`` for the regular
    representation; without the axis for a trivial fibre. On a hexagonal grid the output is not 0 outside of the mask, and needs
    a ``HexagonMask``.

    Examples
    --------
    >>> from gdl_utils.domains import square_grid
    >>> from gdl_utils.groups import cyclic
    >>> lift = LiftingConv(square_grid(3, cyclic(4)), 1, 8, padding=1)
    >>> lift(torch.zeros(16, 1, 28, 28)).shape
    torch.Size([16, 8, 4, 28, 28])
    """

    _fibre_by_default = staticmethod(trivial)

    def __init__(
        self,
        domain: Domain | Disk,
        in_channels: int,
        out_channels: int,
        *,
        fibre: Representation | Sequence[ArrayLike] | None = None,
        fibre_out: Representation | Sequence[ArrayLike] | None = None,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.geometry = Geometry(domain, stride, padding, dilation, padding_mode)
        self.in_channels = check_positive("in_channels", in_channels)
        self.out_channels = check_positive("out_channels", out_channels)
        self.groups = check_positive("groups", groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"groups: got {groups}, which does not divide {in_channels} and {out_channels} channels"
            )
        self.domain, self.group, self.dimensions = domain, domain.group, len(domain.shape)
        fibre = self._fibre_by_default(self.group) if fibre is None else fibre
        self.fibre = as_representation("fibre", fibre, self.group, "kernel")
        fibre_out = regular(self.group) if fibre_out is None else fibre_out
        self.fibre_out = as_representation("fibre_out", fibre_out, self.group, "kernel")
        self._exact = tables(domain, self.fibre, self.fibre_out, in_channels // groups)
        like = {"device": device, "dtype": dtype}
        kernels, still = self._exact.get("kernels"), self._exact.get("still", ())
        numbers = (self.fibre.size, len(domain)) if kernels is None else (len(kernels),)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *numbers, **like))
        shape = (out_channels,) if kernels is None else (out_channels, len(still))
        self.bias = nn.Parameter(torch.empty(shape, **like)) if bias and shape[-1] else None
        self._kept = None
        self._place()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and bias so that outputs are as large as those of ``torch.nn.Conv2d`` for the same number of inputs to an output."""
        bound = 1 / math.sqrt(self.weight[0].numel())
        if "kernels" in self._exact:
            squares = np.square(self._exact["kernels"]).sum() / self.fibre_out.size
            bound = 1 / math.sqrt(self.weight.shape[1] * squares)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def expand(self) -> torch.Tensor:
        """Return the filters in all positions, W[g] = g·w; shape ``(out_channels·F_out, in_channels // groups·F, *kernel)``."""
        with no_autocast(self.weight.device):  # what is kept is used without it too
            return self._expand()

    def _expand(self) -> torch.Tensor:
        filters = self.weight
        if next(iter(self._tables.values())).device != filters.device:  # these weights replaced others
            self._place()
        cast = lambda name: self._tables[name].to(filters.dtype)
        kernel = (filters.shape[1] * self.fibre.size, *self.domain.shape)
        if "kernels" in self._tables:  # all filters that lead to this representation, each with its weight
            return torch.einsum("oik,kefx->oeifx", filters, cast("kernels")).reshape(-1, *kernel)
        if "mixing" in self._tables:  # what the group does to the fibre, then where it takes the points
            filters = torch.einsum("gef,oifp->oigep", cast("mixing"), filters)
        filters = filters.flatten(1)
        if self.geometry.hexagonal:  # the index of an empty corner points at this zero
            filters = nn.functional.pad(filters, (0, 1))
        filters = filters.index_select(1, self._tables["index"])
        if "waves" in self._tables:  # on a disk: coefficients, times what the group has made of their waves
            turned = cast("waves")
            filters = filters.view(self.out_channels, len(turned), -1, turned.shape[1])
            filters = torch.einsum("ogcp,gpx->ogcx", filters, turned)
        return filters.reshape(-1, *kernel)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve; shapes as in the class's notes."""
        self._check(x)
        x = x.flatten(1, 2) if self.fibre.axis else x
        how, padding = self.geometry, self.geometry.padding
        if how.padding_mode != "zeros" and any(padding):
            both = [p for p in reversed(padding) for _ in range(2)]  # torch's order: the last axis first
            x, padding = nn.functional.pad(x, both, mode=how.padding_mode), 0
        y = FUNCTION[self.dimensions](x, *self._filters(), how.stride, padding, how.dilation, self.groups)
        return y.view(y.shape[0], self.out_channels, *self.fibre_out.axis, *y.shape[2:])

    def to_conv(self) -> nn.Module:
        """Return the plain ``nn.ConvNd`` that this layer equals, for deployment; it no longer follows the layer's weights.

        It takes ``(batch, in_channels·F, *space)`` and gives ``(batch, out_channels·F_out, *space)``; ``to_plain`` does it to a network.
        """
        filters, how = self.expand().detach(), self.geometry
        conv = CONV[self.dimensions](
            filters.shape[1] * self.groups, len(filters), self.domain.shape, how.stride, how.padding,
            how.dilation, self.groups, self.bias is not None, how.padding_mode, filters.device, filters.dtype,
        )  # fmt: skip
        conv.weight = nn.Parameter(filters, self.weight.requires_grad)
        if self.bias is not None:
            conv.bias = nn.Parameter(self._repeated_bias().detach(), self.bias.requires_grad)
        return conv.train(self.training)

    def extra_repr(self) -> str:
        """Say what the layer is made of."""
        out = f"fibre_out={self.fibre_out.name}, " * ("kernels" in self._exact)
        return (
            f"{self.in_channels}, {self.out_channels}, group={self.group.name}, fibre={self.fibre.name}, {out}"
            f"kernel={self.domain.name}, {self.geometry}, "
            + f"groups={self.groups}, " * (self.groups > 1)
            + f"bias={self.bias is not None}"
        )

    def _place(self) -> None:
        """Make the tables anew where the weights are, from arrays that no change of type or device has touched."""
        place = lambda t: (t.to(self.weight.dtype) if t.is_floating_point() else t).to(self.weight.device)
        self._tables = {name: place(torch.from_numpy(array)) for name, array in self._exact.items()}

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self._kept = None
        self._place()
        return self

    def _filters(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return filters and bias for all of the group: in evaluation on a CPU those of the last call, if the weights are."""
        keep = not (self.training or torch.is_grad_enabled() or torch.compiler.is_compiling())
        if not keep or self.weight.device.type != "cpu" or not isinstance(self.weight, nn.Parameter):
            return self.expand(), self._repeated_bias()
        now = [self.weight] if self.bias is None else [self.weight, self.bias]
        # Compared by value: whatever changes a weight, by whatever way, is seen.
        same = lambda a, b: a.dtype == b.dtype and torch.equal(a, b)
        if self._kept is None or not all(map(same, now, self._kept[0])):
            self._kept = [t.detach().clone() for t in now], (self.expand(), self._repeated_bias())
        return self._kept[1]

    def __getstate__(self):
        return self.__dict__ | {"_kept": None}

    def _repeated_bias(self) -> torch.Tensor | None:
        if self.bias is None or self.bias.ndim == 1:
            return None if self.bias is None else self.bias.repeat_interleave(self.fibre_out.size)
        with no_autocast(self.bias.device):
            return (self.bias @ self._tables["still"].to(self.bias)).flatten()

    def _kind_of(self) -> tuple[str, str, list[np.ndarray]]:
        disk, more = isinstance(self.domain, Disk), ""
        what = [self.domain.waves, self.domain.matrices] if disk else [self.domain.permutation]
        what.append(self.fibre.matrices)
        if "kernels" in self._exact:
            what, more = [*what, self.fibre_out.matrices], f" to {self.fibre_out.name}"
        return f"{self.group.name}, {self.domain.name}, ", f"{self.fibre.name} fibre{more}", what

    def _check(self, x: torch.Tensor) -> None:
        """Refuse an input that does not fit, in words; warn of sizes on which a turn cannot be exact."""
        if not isinstance(x, torch.Tensor):
            raise TypeError(f"x: got {type(x).__name__}; a signal is a torch tensor")
        wanted = (self.in_channels, *self.fibre.axis)
        entries = f"{self._fibre_axis()}, " if self.fibre.axis else ""
        axes = f"(batch, channels, {entries}{self.dimensions} of space)"
        shape = tuple(x.shape)
        if x.ndim != 1 + len(wanted) + self.dimensions:
            missing = x.ndim == len(wanted) + self.dimensions and self.fibre.axis
            raise ValueError(
                f"x: got shape {shape}; {axes} has {1 + len(wanted) + self.dimensions} axes"
                + f", and the one for the {self._fibre_axis()} seems to be missing" * bool(missing)
            )
        if shape[1] != self.in_channels:
            raise ValueError(f"x: got {shape[1]} channels in shape {shape}; it takes {self.in_channels}")
        if shape[1 : 1 + len(wanted)] != wanted:
            raise ValueError(
                f"x: got {shape[2]} {self._fibre_axis()} on axis 2 of shape {shape}; "
                f"the {self.fibre.name} fibre of {self.group.name} has {wanted[1]}"
            )
        if x.dtype != self.weight.dtype and not torch.is_autocast_enabled(x.device.type):
            raise TypeError(f"x: got {x.dtype}, the layer's weights are {self.weight.dtype}; convert one")
        if not torch.compiler.is_compiling():  # sizes may be symbols there
            self.geometry.check(shape[1 + len(wanted) :])

    def _fibre_axis(self) -> str:
        return {"regular": "group elements", "complement": "bases"}.get(
            self.fibre.name, "entries of the fibre"
        )


class GroupConv(LiftingConv):
    """Convolve a signal on the group with a filter on the group: the layer for everything after the lift.

    The same as ``LiftingConv``, whose attributes, errors and warnings it has, but that values carry the group axis already. The
    filters reach over all of that axis.

    Parameters
    ----------
    domain : Domain or Disk
        The kernel's points and the group.
    in_channels, out_channels : int
        Number of lifted signals that come in, and of filters.
    fibre, fibre_out : Representation, or sequence of matrices, optional
        How the group acts on a value of the input and of the output; by default ``regular(domain.group)``.
    stride, padding, dilation, groups, padding_mode, bias, device, dtype : optional
        As for ``LiftingConv``.

    Notes
    -----
    Takes ``(batch, in_channels, F, *space)`` and gives ``(batch, out_channels, F_out, *space)``; with the regular ones both are ``|G|``.

    Examples
    --------
    >>> from gdl_utils.domains import square_grid
    >>> from gdl_utils.groups import cyclic
    >>> layer = GroupConv(square_grid(3, cyclic(4)), 8, 16)
    >>> layer(torch.zeros(2, 8, 4, 28, 28)).shape
    torch.Size([2, 16, 4, 26, 26])
    """

    _fibre_by_default = staticmethod(regular)
