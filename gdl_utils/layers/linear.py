"""A layer made from what the solver found: a learned combination of all linear maps that respect the symmetry."""

import torch
from torch import nn

from gdl_utils._checks import check_positive


class EquivariantLinear(nn.Module):
    """Combine a basis of equivariant maps with learned coefficients: W = Σ_k θ_k B_k, between each pair of channels.

    Equivariant to whatever the basis is, on inputs of exactly its size; the most general such linear layer if the basis is complete.

    Parameters
    ----------
    basis : tensor of shape (dim, n_out, n_in)
        As ``equivariant_basis`` returns it.
    in_channels, out_channels : int
        Number of signals that come in and go out.
    bias_basis : tensor of shape (dim, n_out, 1), optional
        The vectors that the group leaves alone, ``equivariant_basis(trivial, rho_out)``; without it there is no bias.

    Attributes
    ----------
    weight : parameter of shape (out_channels, in_channels, dim)
    bias : parameter of shape (out_channels, dim), or None

    Raises
    ------
    ValueError
        If the bases do not fit together or are empty; in ``forward``, if the input does not fit.

    Notes
    -----
    Takes ``(…, in_channels, n_in)`` and gives ``(…, out_channels, n_out)``.

    Examples
    --------
    Two maps commute with all orders of five things, "each" and "all": the linear layer of Deep Sets.

    >>> from gdl_utils.domains import nodes
    >>> from gdl_utils.intertwiners import equivariant_basis
    >>> from gdl_utils.signals import SignalSpace
    >>> space = SignalSpace(nodes(5))
    >>> rho = [space.matrix(g) for g in space.group.generators]
    >>> layer = EquivariantLinear(equivariant_basis(rho, rho), 3, 8)
    >>> layer.weight.shape, layer(torch.zeros(16, 3, 5)).shape
    (torch.Size([8, 3, 2]), torch.Size([16, 8, 5]))
    """

    def __init__(
        self,
        basis: torch.Tensor,
        in_channels: int,
        out_channels: int,
        *,
        bias_basis: torch.Tensor | None = None,
    ):
        super().__init__()
        if basis.ndim != 3 or basis.is_sparse or len(basis) == 0:
            raise ValueError(f"basis: got shape {tuple(basis.shape)}; give a dense (dim ≥ 1, n_out, n_in)")
        if bias_basis is not None and bias_basis.shape[1:] != (basis.shape[1], 1):
            raise ValueError(
                f"bias_basis: got shape {tuple(bias_basis.shape)}; give (dim, {basis.shape[1]}, 1)"
            )
        check_positive("in_channels", in_channels), check_positive("out_channels", out_channels)
        dtype = torch.get_default_dtype()
        # As they are, and cast when used: entries that are irrational would not survive a rounding to float32.
        self.register_buffer("basis", basis)
        self.register_buffer("bias_basis", None if bias_basis is None else bias_basis[..., 0])
        # As torch.nn.Linear: outputs of about the size of the inputs.
        scale = (3 * in_channels * basis.square().sum() / basis.shape[1]) ** -0.5
        self.weight = nn.Parameter(
            torch.empty(out_channels, in_channels, len(basis)).uniform_(-1, 1) * scale.to(dtype)
        )
        self.bias = None if bias_basis is None else nn.Parameter(torch.zeros(out_channels, len(bias_basis)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the learned map; shapes as in the class's notes."""
        wanted = (self.weight.shape[1], self.basis.shape[2])
        if tuple(x.shape[-2:]) != wanted:
            raise ValueError(f"x: got shape {tuple(x.shape)}; its last axes must be {wanted}")
        W = torch.einsum("oik,kab->oaib", self.weight, self.basis.to(self.weight.dtype))
        y = torch.einsum("oaib,...ib->...oa", W, x)
        return y if self.bias is None else y + self.bias @ self.bias_basis.to(self.bias.dtype)
