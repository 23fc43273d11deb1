"""Layers on sets, and on pairs of their members: what is left when every order must give the same."""

import numpy as np
import torch
from torch import nn

from gdl_utils._checks import check_positive
from gdl_utils.intertwiners import equivariant_basis
from gdl_utils.layers.linear import EquivariantLinear


class SetLinear(nn.Module):
    """The linear layer of Deep Sets, y_i = x_i W₀ + mean_j(x_j) W₁ + b: all linear maps that commute with every order of a set.

    Equivariant to S_n, for sets of any size n ≥ 1.

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers for each member of the set.

    Raises
    ------
    ValueError
        In ``forward``, if the set is empty: it has no mean.

    Notes
    -----
    Takes (…, n, in_channels), gives (…, n, out_channels). Zaheer et al. (2017), lemma 3, with the mean for the sum, so that the
    size of a set does not change the size of what comes out.

    Examples
    --------
    >>> layer = SetLinear(3, 8)
    >>> layer(torch.zeros(16, 5, 3)).shape
    torch.Size([16, 5, 8])
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        check_positive("in_channels", in_channels), check_positive("out_channels", out_channels)
        self.each = nn.Linear(in_channels, out_channels)
        self.all = nn.Linear(in_channels, out_channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer; shapes as in the class's notes."""
        _check_set(x)
        return self.each(x) + self.all(x.mean(-2, keepdim=True))


class SetAttention(nn.Module):
    """Self-attention without positions: each member takes in what the others offer, as far as its query fits their keys.

    Equivariant to S_n, for sets of any size n ≥ 1, and not linear.

    Parameters
    ----------
    channels : int
        Numbers for each member, in and out.
    heads : int
        How many attend side by side; a divisor of channels.

    Raises
    ------
    ValueError
        If heads does not divide channels; in ``forward``, if the set is empty.

    Notes
    -----
    Takes and gives (…, n, channels). Vaswani et al. (2017), equation 1; Lee et al. (2019), "Set transformer".

    Examples
    --------
    >>> SetAttention(8, heads=2)(torch.zeros(16, 5, 8)).shape
    torch.Size([16, 5, 8])
    """

    def __init__(self, channels: int, heads: int = 1):
        super().__init__()
        if check_positive("channels", channels) % check_positive("heads", heads):
            raise ValueError(f"heads: got {heads}, which does not divide the {channels} channels")
        self.heads = heads
        self.queries_keys_values = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer; shapes as in the class's notes."""
        _check_set(x)
        parts = self.queries_keys_values(x).unflatten(-1, (3, self.heads, -1))  # (…, n, 3, heads, width)
        q, k, v = parts.movedim(-3, 0).transpose(-3, -2)  # each (…, heads, n, width)
        heard = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(heard.transpose(-3, -2).flatten(-2))


class PairLinear(EquivariantLinear):
    """The most general linear layer on matrices of n nodes, as the solver finds it: 15 maps for each pair of channels, 2 biases.

    Equivariant to S_n, which renumbers rows and columns alike; for graphs of exactly n nodes.

    Parameters
    ----------
    n : int
        Number of nodes, at least 4 (fewer have fewer maps). Memory grows with n⁴; 32 nodes take 60 MiB in float32.
    in_channels, out_channels : int
        Number of matrices that come in and go out.

    Raises
    ------
    ValueError
        If n is below 4; in ``forward``, if the input does not fit.

    Notes
    -----
    Takes (…, in_channels, n, n), gives (…, out_channels, n, n). Maron et al. (2019), "Invariant and equivariant graph networks".

    Examples
    --------
    >>> layer = PairLinear(5, 1, 8)
    >>> layer.weight.shape, layer(torch.zeros(5, 5)[None]).shape
    (torch.Size([8, 1, 15]), torch.Size([8, 5, 5]))
    """

    def __init__(self, n: int, in_channels: int, out_channels: int):
        if check_positive("n", n) < 4:
            raise ValueError(f"n: got {n}; the 15 maps need at least 4 nodes")
        swap, turn = np.r_[1, 0, 2:n], np.roll(np.arange(n), 1)  # these two generate all orders
        pairs = [np.kron(np.eye(n)[p], np.eye(n)[p]) for p in (swap, turn)]
        basis = equivariant_basis(pairs, pairs)
        super().__init__(
            basis if not basis.is_sparse else basis.to_dense(),
            in_channels,
            out_channels,
            bias_basis=equivariant_basis([np.eye(1)] * 2, pairs),
        )
        self.n = n

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer; shapes as in the class's notes."""
        if tuple(x.shape[-2:]) != (self.n, self.n):
            raise ValueError(f"x: got shape {tuple(x.shape)}; its last axes must be {(self.n, self.n)}")
        return super().forward(x.flatten(-2)).unflatten(-1, (self.n, self.n))


def _check_set(x: torch.Tensor) -> None:
    if x.ndim < 2 or x.shape[-2] == 0:
        raise ValueError(f"x: got shape {tuple(x.shape)}; (…, n, channels) with n ≥ 1 is needed")
