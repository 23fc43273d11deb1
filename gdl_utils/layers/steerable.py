"""What follows a convolution whose output is no permutation: waves, vectors, signs, which a pointwise ReLU would spoil.

The entries of a fibre fall into *parts* that the group's matrices do not mix. A length says nothing about a direction, so a group may
turn a part and a layer may change its length: ``NormReLU`` by a threshold, ``Gated`` by another number, ``FieldBatchNorm`` by what is
usual. ``FieldNorms`` reads the lengths.
"""

from itertools import chain

import numpy as np
import torch
from torch import nn

from gdl_utils._checks import check_positive, check_real
from gdl_utils._processes import mean_and_number
from gdl_utils.layers.kinds import OfAKind
from gdl_utils.layers.normalisation import GroupBatchNorm
from gdl_utils.representations import Representation, trivial


class _OnFields(OfAKind):
    """What the layers on the parts of a fibre share: ``scalars`` are the entries that are trivial, ``turned`` those of each other part."""

    def __init__(self, fibre: Representation, *, orthogonal: bool = True):
        super().__init__()
        if not isinstance(fibre, Representation):
            raise TypeError(f"fibre: got {type(fibre).__name__}; a Representation is needed")
        self.fibre, parts = fibre, _parts(fibre)
        self.scalars = [part[0] for part in parts if len(part) == 1 and np.allclose(_block(fibre, part), 1)]
        self.turned = [part for part in parts if part[0] not in self.scalars]
        self._places = [*self.scalars, *chain(*self.turned)]
        self._back = np.argsort(self._places).tolist()
        for part in self.turned if orthogonal else ():
            block = _block(fibre, part)
            gap = np.abs(block.transpose(0, 2, 1) @ block - np.eye(len(part))).max()
            if gap > 1e-9:
                raise ValueError(
                    f"fibre: {fibre!r} does not keep the norm of its entries {part}, whose matrices are {gap:.2g} from orthogonal. "
                    "decompose of gdl_utils.representations finds coordinates in which they are"
                )

    def _split(self, x: torch.Tensor, fibre: Representation) -> tuple[torch.Tensor, ...]:
        """Return what stands before the entries of ``self.fibre``, the scalars, and each other part; or refuse x in words."""
        channels = getattr(self, "channels", x.shape[1] if x.ndim > 1 else "channels")
        if tuple(x.shape[1 : 2 + len(fibre.axis)]) != (channels, *fibre.axis):
            wanted = ", ".join(map(str, (getattr(self, "channels", "channels"), *fibre.axis)))
            raise ValueError(f"x: got shape {tuple(x.shape)}; {fibre!r} needs (batch, {wanted}, *space)")
        check_real(x)
        before = fibre.size - self.fibre.size
        fields, places = x if fibre.axis else x.unsqueeze(2), [before + place for place in self._places]
        if self._places != self._back:
            fields = fields[:, :, [*range(before), *places]]
        return fields.split([before, len(self.scalars), *map(len, self.turned)], 2)

    def _join(self, *parts: torch.Tensor) -> torch.Tensor:
        """Put scalars and parts back where they were in the fibre."""
        y = torch.cat(parts, 2)
        if self._places != self._back:
            y = y[:, :, self._back]
        return y if self.fibre.axis else y.squeeze(2)

    def _kind_of(self) -> tuple[str, str, list[np.ndarray]]:
        return "", f"{self.fibre.group.name}, {self.fibre.name} fibre", [self.fibre.matrices]

    def extra_repr(self) -> str:
        """Say on which fibre, and in how many parts."""
        parts = f"{len(self.scalars)} scalars and parts of {[len(part) for part in self.turned]}"
        return f"{self.fibre.name} of {self.fibre.group.name}: {parts}"


class NormReLU(_OnFields):
    """ReLU of the norm: each part of a fibre keeps its direction, and its norm n becomes ReLU(n - t) with a learned threshold t.

    Respects the fibre's group and, where the parts are waves or vectors, all rotations of them, with whatever angle. Parts that are
    trivial go through a plain ReLU.

    Parameters
    ----------
    fibre : Representation
        What comes in and goes out, in parts that keep their norm, such as a sum of ``irreps``.
    channels : int
        Number of signals; each part of each has a threshold of its own.
    device, dtype : optional
        Of the thresholds.

    Attributes
    ----------
    threshold : parameter of shape (channels, parts that are not trivial)
        Its absolute value counts. Were n raised instead, a part that is 0 but for rounding would get that length, in any direction.

    Raises
    ------
    TypeError, ValueError
        If the fibre is none or does not keep norms; in ``forward``, if the input does not fit.

    Notes
    -----
    Takes and gives ``(batch, channels, F, *space)``, in any floating type and of any scale. The gradient is 0 where n is.

    Worrall et al. (2017), "Harmonic networks"; Weiler and Cesa (2019), "General E(2)-equivariant steerable CNNs".

    Examples
    --------
    >>> from gdl_utils.groups import cyclic
    >>> C4 = cyclic(4)
    >>> arrow = Representation("arrow", C4, C4.representation([[[0, -1], [1, 0]]]))
    >>> layer = NormReLU(arrow, 1)
    >>> nn.init.constant_(layer.threshold, 2.5)[0]
    tensor([2.5000], grad_fn=<SelectBackward0>)
    >>> layer(torch.tensor([[[3.0, 4.0]]]))
    tensor([[[1.5000, 2.0000]]], grad_fn=<CatBackward0>)
    """

    def __init__(self, fibre: Representation, channels: int, *, device=None, dtype=None):
        super().__init__(fibre)
        self.channels = check_positive("channels", channels)
        self.threshold = nn.Parameter(torch.empty(channels, len(self.turned), device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin with thresholds of 0.1."""
        nn.init.constant_(self.threshold, 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Shorten each part."""
        _, scalars, *turned = self._split(x, self.fibre)
        thresholds = self.threshold.abs().to(x.dtype).unbind(1)
        for i, (part, threshold) in enumerate(zip(turned, thresholds, strict=True)):
            largest, norm, some = _norm(part)
            left = (norm - _along(threshold, part) / largest).relu()
            turned[i] = part * torch.where(some, left / norm, 0)
        return self._join(scalars.relu(), *turned)


class Gated(_OnFields):
    """Multiply each part that is not trivial by a sigmoid of a number of its own, its *gate*; the others go through a ReLU.

    Respects the fibre's group and all rotations of parts that are waves or vectors, as ``NormReLU`` does. The convolution before it makes
    the gates, as trivial parts in front: give it ``fibre_out=gated.fibre_in``.

    Parameters
    ----------
    fibre : Representation
        What goes out.

    Attributes
    ----------
    fibre_in : Representation
        What comes in: a trivial part for each part of ``fibre`` that is not trivial, then ``fibre``.
    fibre_out : Representation
        The same as ``fibre``.

    Raises
    ------
    TypeError, ValueError
        If the fibre is none; in ``forward``, if the input does not fit.

    Notes
    -----
    Takes ``(batch, channels, fibre_in.size, *space)`` and gives ``(batch, channels, F, *space)``. Weiler et al. (2018), "3D steerable
    CNNs".

    Examples
    --------
    >>> from gdl_utils.groups import cyclic
    >>> C4 = cyclic(4)
    >>> gated = Gated(Representation("arrow", C4, C4.representation([[[0, -1], [1, 0]]])))
    >>> gated.fibre_in
    Representation(1 gate + arrow of C₄, 3 numbers)
    >>> gated(torch.tensor([[[0.0, 3.0, 4.0]]]))
    tensor([[[1.5000, 2.0000]]])
    """

    def __init__(self, fibre: Representation):
        super().__init__(fibre, orthogonal=False)
        gates = len(self.turned)
        matrices = np.tile(np.eye(gates + fibre.size), (len(fibre.group), 1, 1))
        matrices[:, gates:, gates:] = fibre.matrices
        name, self.fibre_out = f"{gates} gate{'s' * (gates > 1)} + {fibre.name}", fibre
        self.fibre_in = Representation(name, fibre.group, matrices) if gates else fibre

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Gate."""
        gates, scalars, *turned = self._split(x, self.fibre_in)
        gates = gates.sigmoid().split(1, 2) if turned else ()
        return self._join(scalars.relu(), *(part * g for part, g in zip(turned, gates, strict=True)))


class FieldNorms(_OnFields):
    """Read what no element of the group changes: the norm of each part of a fibre, of a trivial part the number itself.

    Invariant along the fibre's axis and equivariant in space: what stands before ``GlobalPool``.

    Parameters
    ----------
    fibre : Representation
        What comes in, in parts that keep their norm.

    Raises
    ------
    TypeError, ValueError
        If the fibre is none or does not keep norms; in ``forward``, if the input does not fit.

    Notes
    -----
    Takes ``(batch, channels, F, *space)`` and gives ``(batch, channels·parts, *space)``, of each channel the trivial numbers first. The
    gradient is 0 where a norm is.

    Examples
    --------
    >>> from gdl_utils.groups import cyclic
    >>> C4 = cyclic(4)
    >>> arrow = Representation("arrow", C4, C4.representation([[[0, -1], [1, 0]]]))
    >>> FieldNorms(trivial(C4) + arrow)(torch.tensor([[[-1.0, 3.0, 4.0]]]))
    tensor([[-1.,  5.]])
    """

    def __init__(self, fibre: Representation):
        super().__init__(fibre)
        self.fibre_out = trivial(fibre.group)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Measure."""
        _, scalars, *turned = self._split(x, self.fibre)
        measured = ((largest * norm).where(some, 0) for largest, norm, some in map(_norm, turned))
        return torch.cat([scalars, *measured], 2).flatten(1, 2)


class FieldBatchNorm(_OnFields):
    """Batch normalisation of a fibre: trivial parts as ``torch.nn.BatchNorm2d`` does, of others only the length changes.

    Respects the fibre's group and all rotations of parts that are waves or vectors: a part that turns has no mean to subtract. It is divided
    by the root of the mean square of its entries over batch and space.

    Parameters
    ----------
    fibre : Representation
        What comes in and goes out, in parts that keep their norm.
    channels : int
        Number of signals; each part of each has statistics and a factor of its own.
    device, dtype : optional
        Of factors and statistics.

    Attributes
    ----------
    trivial : GroupBatchNorm of the trivial parts, or None
    weight : parameter of shape (channels, parts that are not trivial)
    running_square : buffer of the same shape, in single precision at least

    Raises
    ------
    TypeError, ValueError
        If the fibre is none or does not keep norms; in ``forward``, if the input does not fit.

    Notes
    -----
    Takes and gives ``(batch, channels, F, *space)``. As in Weiler and Cesa (2019), "General E(2)-equivariant steerable CNNs".

    Examples
    --------
    >>> from gdl_utils.groups import cyclic
    >>> C4 = cyclic(4)
    >>> arrow = Representation("arrow", C4, C4.representation([[[0, -1], [1, 0]]]))
    >>> y = FieldBatchNorm(arrow, 8)(5 * torch.randn(16, 8, 2, 7, 7))
    >>> bool((y.square().mean() - 1).abs() < 1e-3)
    True
    """

    def __init__(self, fibre: Representation, channels: int, *, device=None, dtype=None):
        super().__init__(fibre)
        self.channels = check_positive("channels", channels)
        like, scalars = {"device": device, "dtype": dtype}, channels * len(self.scalars)
        self.trivial = GroupBatchNorm(scalars, **like) if scalars else None
        self.weight = nn.Parameter(torch.empty(channels, len(self.turned), **like))
        self.register_buffer("running_square", torch.empty_like(self.weight, requires_grad=False))
        self._apply(lambda t: t)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin with factors and mean squares of 1."""
        nn.init.ones_(self.weight), nn.init.ones_(self.running_square)
        if self.trivial is not None:
            self.trivial.reset_parameters()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise."""
        _, scalars, *turned = self._split(x, self.fibre)
        if x.numel() == 0:  # of nothing there are no statistics
            return x
        if self.trivial is not None:
            flat = scalars.reshape(x.shape[0], self.trivial.num_features, -1)
            scalars = self.trivial(flat).reshape(scalars.shape)
        square = self.running_square
        if self.training and turned:
            over, wide = (0, *range(2, scalars.ndim)), torch.promote_types(x.dtype, torch.float32)
            square = torch.stack([mean_and_number(part.to(wide).square(), over)[0] for part in turned], 1)
            with torch.no_grad():
                self.running_square.lerp_(square.to(self.running_square.dtype), 0.1)  # as in torch
        factors = (self.weight / (square + 1e-5).sqrt()).to(x.dtype).unbind(1)
        return self._join(scalars, *(part * _along(f, part) for part, f in zip(turned, factors, strict=True)))

    def _apply(self, fn, recurse=True):
        before = self.running_square
        now = super()._apply(fn, recurse).running_square
        if now.dtype.itemsize < 4:  # the square of 300 is beyond half precision
            self.running_square = before.to(now.device, torch.float32)
        return self


def _norm(field: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a part's largest entry, its norm divided by that, and where it is not 0: no square of any scale overflows or is lost."""
    largest = field.detach().abs().amax(2, keepdim=True)
    some = largest >= torch.finfo(field.dtype).tiny
    largest = torch.where(some, largest, 1)  # no 0/0, in the gradient either
    return largest, torch.where(some, (field / largest).square().sum(2, keepdim=True), 1).sqrt(), some


def _along(channels: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return channels.view(-1, *[1] * (x.ndim - 2))


def _block(fibre: Representation, part: list[int]) -> np.ndarray:
    return fibre.matrices[:, part][:, :, part]


def _parts(fibre: Representation) -> list[list[int]]:
    """Return which entries the matrices mix with each other: the finest blocks that all of them share."""
    linked = (np.abs(fibre.matrices) > 1e-9).any(axis=0)
    linked = linked | linked.T | np.eye(fibre.size, dtype=bool)
    for _ in range(fibre.size.bit_length()):  # what is linked to something linked is linked
        linked = linked.astype(float) @ linked > 0
    return [np.flatnonzero(row).tolist() for i, row in enumerate(linked) if row.argmax() == i]
