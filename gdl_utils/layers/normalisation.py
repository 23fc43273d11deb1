"""Normalisation and dropout that treat all of a group axis alike."""

import torch
from torch import nn

from gdl_utils._checks import check_positive
from gdl_utils._processes import mean_and_number, processes


class GroupBatchNorm(nn.BatchNorm1d):
    """Batch normalisation with one mean and one variance for each channel, shared over the group axis and over space.

    Equivariant to the group and to shifts, on every size and whatever lies beyond the border: statistics of each group element
    on its own would break the turns. Parameters and attributes are those of ``torch.nn.BatchNorm1d``.

    Takes and gives ``(batch, channels, |G|, *space)``; also ``(batch, channels, *space)``.

    Raises
    ------
    ValueError
        In ``forward``, if the input has fewer than three axes or another number of channels.

    Notes
    -----
    Where several processes train together (``training.fit``), statistics are of all their examples, as for one process. Layers of
    ``torch.nn`` with this aim, ``SyncBatchNorm``, need GPUs.

    Ioffe and Szegedy (2015), "Batch normalization", with the statistics of Cohen and Welling (2016), "Group equivariant
    convolutional networks", section 6.3.

    Examples
    --------
    >>> y = GroupBatchNorm(8)(torch.randn(16, 8, 4, 7, 7))
    >>> y.shape, bool(y.mean() < 1e-6)
    (torch.Size([16, 8, 4, 7, 7]), True)
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise."""
        if x.ndim < 3 or x.shape[1] != self.num_features:
            raise ValueError(f"x: got shape {tuple(x.shape)}; give (batch, {self.num_features}, |G|, *space)")
        flat = x.flatten(2)
        alone = not self.training or processes()[1] == 1
        return (super().forward(flat) if alone else self._shared(flat)).reshape(x.shape)

    def _shared(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise x, (batch, channels, places), by the statistics of all processes; torch's formulas."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, n = mean_and_number(wide, (0, 2))
        apart = wide - mean[:, None]
        variance, _ = mean_and_number(apart.square(), (0, 2))
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked += 1
                share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
                self.running_mean += share * (mean - self.running_mean)
                self.running_var += share * (variance * n / (n - 1) - self.running_var)
        y = apart * (variance + self.eps).rsqrt()[:, None]
        if self.affine:
            y = y * self.weight[:, None] + self.bias[:, None]
        return y.to(x.dtype)


class GroupLayerNorm(nn.Module):
    """Layer normalisation at each point of space: one mean and one variance over all channels and the group axis.

    Equivariant to the group and to shifts, on every size and whatever lies beyond the border. It needs no batch, and does the
    same in training and afterwards. (``torch.nn.GroupNorm`` is something else: its groups are of channels.)

    Takes and gives ``(batch, channels, |G|, *space)``.

    Parameters
    ----------
    channels : int
        Number of channels; each has one weight and one bias for all of the group.
    dimensions : int
        Number of axes of space: 1, 2 or 3.
    eps : float
        What is added to the variance, so that a constant input does not divide by zero.
    elementwise_affine : bool
        Whether to have weights and biases.
    bias : bool
        Whether to have biases, if there are weights.
    device, dtype : optional
        Of weights and biases, as for ``torch.nn.LayerNorm``.

    Attributes
    ----------
    weight : parameter of shape (channels,), or None
    bias : parameter of shape (channels,), or None

    Raises
    ------
    TypeError, ValueError
        If ``channels`` is no whole number from 1 or ``dimensions`` not 1, 2 or 3; in ``forward``, if the input has another number of
        axes or of channels.

    Notes
    -----
    Ba, Kiros and Hinton (2016), "Layer normalization"; on the channels of each point as in Liu et al. (2022), "A ConvNet for the
    2020s".

    Examples
    --------
    >>> y = GroupLayerNorm(8)(torch.randn(16, 8, 4, 7, 7))
    >>> y.shape, bool(y.mean((1, 2)).abs().max() < 1e-6)
    (torch.Size([16, 8, 4, 7, 7]), True)
    """

    def __init__(
        self,
        channels: int,
        dimensions: int = 2,
        *,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device=None,
        dtype=None,
    ):
        super().__init__()
        if dimensions not in (1, 2, 3):
            raise ValueError(f"dimensions: got {dimensions!r}; space has 1, 2 or 3")
        self.channels, self.dimensions, self.eps = check_positive("channels", channels), dimensions, eps
        options = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(channels, **options)) if elementwise_affine else None
        self.bias = nn.Parameter(torch.empty(channels, **options)) if elementwise_affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Begin with weights 1 and biases 0."""
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise."""
        if x.ndim != 3 + self.dimensions or x.shape[1] != self.channels:
            raise ValueError(
                f"x: got shape {tuple(x.shape)}; give (batch, {self.channels}, |G|, {self.dimensions} of space)"
            )
        last = x.flatten(1, 2).movedim(1, -1)  # (batch, *space, channels·|G|)
        repeat = lambda p: None if p is None else p.repeat_interleave(x.shape[2])
        y = nn.functional.layer_norm(last, last.shape[-1:], repeat(self.weight), repeat(self.bias), self.eps)
        return y.movedim(-1, 1).unflatten(1, x.shape[1:3])

    def extra_repr(self) -> str:
        """Say over what."""
        return f"{self.channels}, {self.dimensions}, eps={self.eps}, elementwise_affine={self.weight is not None}"


class FieldDropout(nn.Module):
    """Dropout of whole fields: a channel is set to 0 together with all of its group axis and all of space, or not at all.

    Equivariant to the group and to shifts, for every draw: what is dropped does not depend on where it stands. Dropping single
    entries, or single group elements, breaks the turns in training. Out of training it does nothing.

    Takes and gives ``(batch, channels, |G|, *space)``; also ``(batch, channels, *space)``.

    Parameters
    ----------
    p : float
        Probability with which each channel of each example is dropped, 0 to 1; what is left is divided by 1 - p.

    Raises
    ------
    ValueError
        If p is not from 0 to 1; in ``forward``, if the input has fewer than three axes.

    Notes
    -----
    Tompson et al. (2015), "Efficient object localization using convolutional networks", for feature maps; for fields as in Weiler
    and Cesa (2019), "General E(2)-equivariant steerable CNNs".

    Examples
    --------
    >>> y = FieldDropout(0.5)(torch.ones(2, 3, 4, 7, 7))
    >>> set(y.mean((2, 3, 4)).flatten().tolist()) <= {0.0, 2.0}
    True
    """

    def __init__(self, p: float = 0.5):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p: got {p!r}; a probability is from 0 to 1")
        self.p = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Drop in training, pass on otherwise."""
        if x.ndim < 3:
            raise ValueError(f"x: got shape {tuple(x.shape)}; give (batch, channels, |G|, *space)")
        if not self.training:
            return x
        kept = nn.functional.dropout(x.new_ones(x.shape[:2]), self.p)
        return x * kept[(..., *[None] * (x.ndim - 2))]

    def extra_repr(self) -> str:
        """Say how often."""
        return f"p={self.p}"
