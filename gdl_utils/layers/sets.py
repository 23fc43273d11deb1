"""Layers on sets, and on pairs of their members: what is left when every order must give the same."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from gdl_utils._checks import check_positive
from gdl_utils.intertwiners import MAX_DENSE, basis_of_orbits
from gdl_utils.layers.linear import EquivariantLinear


class SetLinear(nn.Module):
    """The linear layer of Deep Sets, y_i = x_i W₀ + mean_j(x_j) W₁ + b: all linear maps that commute with every order of a set.

    Equivariant to S_n, for sets of any size n ≥ 1.

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers for each member of the set.
    device, dtype : optional
        Of the weights, as in ``torch.nn.Linear``.

    Raises
    ------
    TypeError, ValueError
        In ``forward``, if the set is empty: it has no mean; if x or mask do not fit, or mask is not of ``torch.bool``.

    Notes
    -----
    Takes (…, n, in_channels), gives (…, n, out_channels). Zaheer et al. (2017), lemma 3, with the mean for the sum, so that the
    size of a set does not change the size of what comes out.

    ``mask`` (…, n) is true for members that are there. The others, which pad a set to n, do not count, whatever they hold, and
    come out as 0: so does all of a set of which nobody is there.

    Examples
    --------
    >>> layer = SetLinear(3, 8)
    >>> layer(torch.zeros(16, 5, 3)).shape
    torch.Size([16, 5, 8])
    """

    def __init__(self, in_channels: int, out_channels: int, *, device=None, dtype=None):
        super().__init__()
        check_positive("in_channels", in_channels), check_positive("out_channels", out_channels)
        self.each = nn.Linear(in_channels, out_channels, device=device, dtype=dtype)
        self.all = nn.Linear(in_channels, out_channels, bias=False, device=device, dtype=dtype)

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Apply the layer; shapes as in the class's notes."""
        _check_set(x, self.each.in_features)
        if mask is None:
            return self.each(x) + self.all(x.mean(-2, keepdim=True))
        there = check_mask("mask", mask, x.shape[:-1])[..., None]
        x = torch.where(there, x, 0)  # no product with 0 would make NaN disappear
        mean = (x / there.sum(-2, keepdim=True).clamp(min=1)).sum(-2, keepdim=True)
        return torch.where(there, self.each(x) + self.all(mean), 0)


class SetAttention(nn.Module):
    """Self-attention without positions: each member takes in what the others offer, as far as its query fits their keys.

    Equivariant to S_n, for sets of any size n ≥ 1, and not linear.

    Parameters
    ----------
    channels : int
        Numbers for each member, in and out.
    heads : int
        How many attend side by side; a divisor of channels.
    device, dtype : optional
        Of the weights, as in ``torch.nn.Linear``.

    Raises
    ------
    TypeError, ValueError
        If heads does not divide channels; in ``forward``, if the set is empty, x or mask do not fit, or mask is not of
        ``torch.bool``.

    Notes
    -----
    Takes and gives (…, n, channels). Vaswani et al. (2017), equation 1; Lee et al. (2019), "Set transformer".
    ``mask`` (…, n) is true for members that are there, as in ``SetLinear``: the others are not attended to, and come out as 0.

    Examples
    --------
    >>> SetAttention(8, heads=2)(torch.zeros(16, 5, 8)).shape
    torch.Size([16, 5, 8])
    """

    def __init__(self, channels: int, heads: int = 1, *, device=None, dtype=None):
        super().__init__()
        if check_positive("channels", channels) % check_positive("heads", heads):
            raise ValueError(f"heads: got {heads}, which does not divide the {channels} channels")
        self.heads = heads
        self.queries_keys_values = nn.Linear(channels, 3 * channels, device=device, dtype=dtype)
        self.out = nn.Linear(channels, channels, device=device, dtype=dtype)

    def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Apply the layer; shapes as in the class's notes."""
        _check_set(x, self.out.in_features)
        if mask is None:
            return self._attend(x, None)
        there = check_mask("mask", mask, x.shape[:-1])[..., None]
        heard = self._attend(torch.where(there, x, 0), mask[..., None, None, :])  # (…, heads, n, n)
        return torch.where(there, heard, 0)

    def _attend(self, x: torch.Tensor, keys: torch.Tensor | None) -> torch.Tensor:
        parts = self.queries_keys_values(x).unflatten(-1, (3, self.heads, -1))  # (…, n, 3, heads, width)
        q, k, v = parts.movedim(-3, 0).transpose(-3, -2)  # each (…, heads, n, width)
        heard = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=keys)
        return self.out(heard.transpose(-3, -2).flatten(-2))


class PairLinear(EquivariantLinear):
    """The most general linear layer on matrices of n nodes, as the solver finds it: 15 maps for each pair of channels, 2 biases.

    Equivariant to S_n, which renumbers rows and columns alike; for graphs of exactly n nodes.

    Parameters
    ----------
    n : int
        Number of nodes, from 4 (fewer have fewer maps) to 45: memory grows with n⁴. The maps of 32 nodes take 120 MiB, in double
        precision on the CPU, and 60 MiB more where they are used in float32.
    in_channels, out_channels : int
        Number of matrices that come in and go out.
    device, dtype : optional
        Of the weights, as in ``torch.nn.Linear``.

    Raises
    ------
    ValueError
        If n is below 4, or the 15 maps would take more than 512 MiB; in ``forward``, if the input does not fit.

    Notes
    -----
    Takes (…, in_channels, n, n), gives (…, out_channels, n, n). Maron et al. (2019), "Invariant and equivariant graph networks".

    Examples
    --------
    >>> layer = PairLinear(5, 1, 8)
    >>> layer.weight.shape, layer(torch.zeros(5, 5)[None]).shape
    (torch.Size([8, 1, 15]), torch.Size([8, 5, 5]))
    """

    def __init__(self, n: int, in_channels: int, out_channels: int, *, device=None, dtype=None):
        if check_positive("n", n) < 4:
            raise ValueError(f"n: got {n}; the 15 maps need at least 4 nodes")
        if (size := 15 * int(n) ** 4) > MAX_DENSE:
            raise ValueError(
                f"n: got {n}; the 15 maps would take {size >> 17:,} MiB; up to {MAX_DENSE >> 17} MiB are made (45 nodes)"
            )
        orders = np.stack([np.r_[1, 0, 2:n], np.roll(np.arange(n), 1)])  # these two generate all orders
        moved = (orders[:, :, None] * n + orders[:, None, :]).reshape(
            2, -1
        )  # pair (a, b) stands at a · n + b
        super().__init__(
            basis_of_orbits(moved, moved),
            in_channels,
            out_channels,
            bias_basis=basis_of_orbits(np.zeros((2, 1), dtype=int), moved),
            device=device,
            dtype=dtype,
        )
        self.n = n

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer; shapes as in the class's notes."""
        if tuple(x.shape[-2:]) != (self.n, self.n):
            raise ValueError(f"x: got shape {tuple(x.shape)}; its last axes must be {(self.n, self.n)}")
        return super().forward(x.flatten(-2)).unflatten(-1, (self.n, self.n))


def check_mask(argument: str, mask: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Return the mask, or raise a TypeError or ValueError that names the argument."""
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        got = mask.dtype if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise TypeError(f"{argument}: got {got}; give a tensor of torch.bool, true for what is there")
    if mask.shape != torch.Size(shape):
        raise ValueError(f"{argument}: got shape {tuple(mask.shape)}; it must be {tuple(shape)}")
    return mask


def _check_set(x: torch.Tensor, channels: int) -> None:
    if x.ndim < 2 or x.shape[-2] == 0 or x.shape[-1] != channels:
        raise ValueError(f"x: got shape {tuple(x.shape)}; (…, n, {channels}) with n ≥ 1 is needed")
