"""What comes between convolutions and after them: pooling over the group, pooling in space."""

import math
import warnings

import torch
from torch import nn

from gdl_utils._checks import check_real

# Torch's poolings, and how many axes of space each has.
KINDS = ("Avg", "Max", "LP", "AdaptiveAvg", "AdaptiveMax")
POOLINGS = {getattr(nn, f"{kind}Pool{d}d"): d for kind in KINDS for d in (1, 2, 3)}


class GroupPool(nn.Module):
    """Forget the position in the group: the maximum over its axis.

    Equivariant: where the lifted signal moved in space and along the group axis, the result moves in space alone. On every size,
    whatever lies beyond the border.

    Takes ``(batch, channels, |G|, *space)`` and gives ``(batch, channels, *space)``.

    Parameters
    ----------
    dimensions : int
        Number of axes of space: 1 for strands, 2 for images, 3 for volumes. So a signal without a group axis is noticed.

    Raises
    ------
    ValueError
        If ``dimensions`` is not 1, 2 or 3; in ``forward``, if the input has another number of axes, as where there is no group axis, or
        no more.

    Notes
    -----
    Called coset pooling by Cohen and Welling (2016), "Group equivariant convolutional networks", section 6.2.

    Examples
    --------
    >>> GroupPool()(torch.zeros(16, 8, 4, 7, 7)).shape
    torch.Size([16, 8, 7, 7])
    """

    def __init__(self, dimensions: int = 2):
        super().__init__()
        self.dimensions = _check_dimensions(dimensions)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool."""
        if x.ndim != 3 + self.dimensions:
            raise ValueError(
                f"x: got shape {tuple(x.shape)}; GroupPool({self.dimensions}) takes (batch, channels, |G|, "
                f"{self.dimensions} of space). Was it lifted, and not yet pooled?"
            )
        return x.amax(2)

    def extra_repr(self) -> str:
        """Say how many axes space has."""
        return f"{self.dimensions}"


class GlobalPool(nn.Module):
    """Forget the position in space, and with ``group_axis`` that in the group too: the mean over all points.

    Invariant to shifts on a torus and to turns on any grid, of every size, if what comes in is equivariant: with ``group_axis`` for
    lifted signals, without for plain ones. ``spatial(GlobalPool(2))`` leaves a group axis, which moves.

    Takes ``(batch, channels, [|G|,] *space)`` and gives ``(batch, channels)``.

    Parameters
    ----------
    dimensions : int
        Number of axes of space, the last ones: 1, 2 or 3.
    group_axis : bool
        Whether there is a group axis before them, to average over as well.

    Raises
    ------
    ValueError
        If ``dimensions`` is not 1, 2 or 3; in ``forward``, if the input has another number of axes, as where ``group_axis`` was
        forgotten. (A lifted image has as many axes as a volume that is not: between these it cannot tell.)

    Examples
    --------
    >>> GlobalPool(2, group_axis=True)(torch.zeros(16, 8, 4, 7, 7)).shape
    torch.Size([16, 8])
    """

    def __init__(self, dimensions: int, *, group_axis: bool = False):
        super().__init__()
        self.dimensions, self.group_axis = _check_dimensions(dimensions), group_axis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool."""
        axes = self.dimensions + self.group_axis
        if x.ndim != 2 + axes:
            wanted = "(batch, channels, " + "|G|, " * self.group_axis + f"{self.dimensions} of space)"
            other = f"{self.dimensions}, group_axis={not self.group_axis}"
            hint = (
                f"; GlobalPool({other}) fits" if x.ndim == 2 + self.dimensions + (not self.group_axis) else ""
            )
            raise ValueError(
                f"x: got shape {tuple(x.shape)}; GlobalPool({self.extra_repr()}) takes {wanted}{hint}"
            )
        return x.flatten(2).mean(-1)

    def extra_repr(self) -> str:
        """Say over what."""
        return f"{self.dimensions}, group_axis={self.group_axis}"


class spatial(nn.Module):  # it reads as a verb: spatial(nn.AvgPool2d(2))
    """Apply a module of the plane or of space, such as ``nn.AvgPool2d(2)``, to each channel and group element alike.

    Equivariant to turns and shifts if the module is, on squares and cubes of the sizes that fit: windows must lie symmetrically,
    (size + 2·padding - kernel) mod stride = 0, with ``ceil_mode`` as without, and be as wide along all axes that the group exchanges.
    Torch's adaptive poolings keep turns on every size. ``nn.Upsample(scale_factor=2)``, or by another whole number, keeps turns, and
    shifts on a torus; with "bilinear" it keeps turns alone, for it does not look round the border.

    Takes ``(batch, channels, |G|, *space)`` and gives ``(batch, channels, |G|, *other space)``. A module that treats each channel
    on its own keeps the turns; one that mixes them breaks the turns, and is the control of a group convolution: a plain
    ``nn.Conv2d(channels * |G|, out_channels * |G|, 3)``.

    Parameters
    ----------
    module : nn.Module
        From ``(batch, channels·|G|, *space)`` to so many channels, or to another multiple of ``|G|``.

    Raises
    ------
    TypeError
        In ``forward``, if the module gives something else than a tensor.
    ValueError
        In ``forward``, if the input has no group axis or is smaller than the window, or what the module gives cannot be given back its
        group axis.

    Warns
    -----
    UserWarning
        If turns cannot be exact since the windows of one of torch's poolings do not lie symmetrically on this size.

    Examples
    --------
    >>> spatial(nn.AvgPool2d(2))(torch.zeros(16, 8, 4, 28, 28)).shape
    torch.Size([16, 8, 4, 14, 14])
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the module with the group axis folded into the channels."""
        d, name = POOLINGS.get(type(self.module)), type(self.module).__name__
        if x.ndim != 3 + d if d else x.ndim < 4:
            space = f"{d} of space" if d else "*space"
            raise ValueError(f"x: got shape {tuple(x.shape)}; (batch, channels, |G|, {space}) is needed")
        if d and "Adaptive" not in name:
            _check_windows(self.module, x)
        folded = x.flatten(1, 2)
        y = self.module(folded)
        if not isinstance(y, torch.Tensor):
            hint = " (return_indices=False)" if getattr(self.module, "return_indices", False) else ""
            raise TypeError(f"module: {name} gave a {type(y).__name__}; it must give a tensor{hint}")
        # Channels may be another multiple of |G| where space is still there: without it, it may have gone among them.
        fits = y.shape[:2] == folded.shape[:2] or (y.ndim == folded.ndim and y.shape[1] % x.shape[2] == 0)
        if not fits or y.shape[0] != x.shape[0]:
            raise ValueError(
                f"module: {name} made {tuple(y.shape)} of {tuple(folded.shape)}; it must leave the batch, "
                f"and as many channels or another multiple of |G| = {x.shape[2]}"
            )
        return y.unflatten(1, (-1, x.shape[2]))


class BlurPool(nn.Module):
    """Blur each channel, then keep every second point: less of what a plain stride makes of a shift by one.

    On a torus, exactly equivariant to shifts by even steps, and the better the blur the more nearly to odd ones; under turns the
    points that are kept do not lie symmetrically. See Zhang (2019), "Making convolutional networks shift-invariant again".

    Takes ``(batch, channels, height, width)`` and gives half of both; opposite edges count as glued. In any floating type: the
    coefficients are exact in all of them.

    Parameters
    ----------
    taps : int
        Width of the blur, 1 to 7: binomial coefficients, for 3 the filter (1, 2, 1)/4 in each direction. 1 is a plain stride.

    Raises
    ------
    TypeError, ValueError
        If ``taps`` is not 1 to 7; in ``forward``, if a side is odd or shorter than the blur, or the values are not real.
    """

    def __init__(self, taps: int = 3):
        super().__init__()
        if taps not in range(1, 8):
            raise ValueError(f"taps: got {taps!r}; 1 to 7 are known")
        self.taps = taps
        self.register_buffer("filter", torch.empty(taps, taps, dtype=torch.float32))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Write the filter, as is needed once more after ``to_empty``."""
        row = torch.tensor([math.comb(self.taps - 1, k) for k in range(self.taps)]) / 2 ** (self.taps - 1)
        self.filter.copy_(row[:, None] * row)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Blur and halve."""
        _check_even(x, self.taps)
        before, after = self.taps // 2, (self.taps - 1) // 2
        padded = nn.functional.pad(x, (before, after, before, after), mode="circular")
        weight = self.filter.to(x.dtype).expand(x.shape[1], 1, -1, -1)
        return nn.functional.conv2d(padded, weight, stride=2, groups=x.shape[1])

    def extra_repr(self) -> str:
        """Say how wide the blur is."""
        return f"{self.taps}"


class PolyphasePool(nn.Module):
    """Of the four grids that a stride of two could keep, keep the one that holds most: adaptive polyphase sampling.

    On a torus, a shift of the input shifts the output too, by how much depends on the input; what is pooled over all points
    afterwards is exactly invariant, to quarter-turns and mirrors as well. All channels of an example share one grid, so that
    ``spatial(PolyphasePool())`` keeps the turns of a lifted signal.

    Grids are compared by their Euclidean norm; where that is equal by their sum, and then by the products of neighbours on the grid.
    Where all three are equal, the first is kept, and which one is the first a shift may change: that matters only if the grids
    are not the same up to a shift or turn, as in pictures of zeros and ones.

    Takes ``(batch, channels, height, width)`` in any floating type and gives half of both.

    Raises
    ------
    TypeError, ValueError
        In ``forward``, if a side is odd, or the values are not real.

    Notes
    -----
    Chaman and Dokmanić (2021), "Truly shift-invariant convolutional neural networks". Nothing here overflows, and the order in which
    values stand does not count, for whole numbers are summed. The choice jumps where two grids hold nearly as much as each
    other: there, the rounding of the layers before decides. NaN counts as the largest number, so as not to be dropped. No
    double precision is used unless the input has it.

    Examples
    --------
    >>> x = torch.zeros(1, 1, 4, 4)
    >>> x[0, 0, 1, 2] = 5
    >>> PolyphasePool()(x)[0, 0]
    tensor([[0., 5.],
            [0., 0.]])
    """

    def __init__(self):  # torch's own takes anything
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Choose, and halve."""
        _check_even(x, 1)
        grids = torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)])
        return grids[_fullest(x.detach()), torch.arange(x.shape[0], device=x.device)]


def _fullest(x: torch.Tensor) -> torch.Tensor:
    """Return which of the four grids holds most, for each example; shape (batch,).

    A shift permutes the values of a grid. So they are scaled and turned into whole numbers before they are added, whose sum does
    not depend on the order.
    """
    x = x if x.dtype == torch.float64 else x.float()
    x = x.nan_to_num(nan=torch.finfo(x.dtype).max)
    x = x / x.abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)  # -1 to 1
    one = 2**61 // math.prod(x.shape[1:])  # so that no sum below exceeds 63 bits
    whole = lambda t: (t * one).long()
    on_grids = lambda t: torch.stack([t[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]).sum((2, 3))
    values = whole(x).sum(1)  # over the channels; (batch, height, width)
    mean = values.to(x.dtype) / (one * x.shape[1])
    alike = whole(mean * mean.roll(2, 1)) + whole(mean * mean.roll(2, 2))
    left = torch.ones(4, x.shape[0], dtype=torch.bool, device=x.device)
    for key in (whole(x.square()).sum(1), values, alike):  # each decides where those before are equal
        key = on_grids(key).masked_fill(~left, torch.iinfo(torch.int64).min)  # (4, batch)
        left = key == key.amax(0)
    return left.byte().argmax(0)


def _check_dimensions(dimensions: int) -> int:
    if dimensions not in (1, 2, 3):
        raise ValueError(f"dimensions: got {dimensions!r}; space has 1, 2 or 3")
    return dimensions


def _check_even(x: torch.Tensor, least: int) -> None:
    if x.ndim != 4 or x.shape[1] == 0 or any(side % 2 or side < least for side in x.shape[2:]):
        raise ValueError(
            f"x: got shape {tuple(x.shape)}; (batch, channels, height, width) with even sides from {least} on is needed"
        )
    check_real(x)


def _check_windows(pool: nn.Module, x: torch.Tensor) -> None:
    """Refuse a window that is larger than the input; warn where windows do not lie symmetrically, as ``LiftingConv`` does."""
    space = tuple(x.shape[3:])
    names = ("kernel_size", "stride", "padding", "dilation")
    values = [getattr(pool, name, int(name == "dilation")) for name in names]
    values[1] = values[1] or values[0]
    each = [value if isinstance(value, tuple | list) else [value] * len(space) for value in values]
    for size, kernel, stride, padding, dilation in zip(space, *each, strict=True):
        left = lambda k, n=size + 2 * padding, d=dilation: n - d * (k - 1) - 1  # places beside one window
        if left(kernel) < 0 and not pool.ceil_mode:
            raise ValueError(f"x: got {space} in space, too small for kernel {kernel}, padding {padding}")
        rest = left(kernel) % stride
        sees_all = left(kernel) <= (0 if pool.ceil_mode else padding) and dilation == 1
        if torch.compiler.is_compiling() or x.shape[2] == 1 or rest == 0 or sees_all:
            continue
        fit = [k for k in range(max(2 * padding, 1), size + 1) if left(k) >= 0 and left(k) % stride == 0]
        near = [k for k in fit if k < kernel][-1:] + [k for k in fit if k > kernel][:1]
        kernels = f", or kernel{'s' * (len(near) > 1)} {' and '.join(map(str, near))}" if near else ""
        warnings.warn(
            f"size {size} with kernel {kernel}, padding {padding}{f', dilation {dilation}' * (dilation > 1)} and stride {stride}: "
            "turns are not exact, for the windows do not lie symmetrically; "
            f"sizes {size - rest} and {size - rest + stride} fit{kernels}",
            stacklevel=5,  # past torch's own two, to the line that calls the module
        )
