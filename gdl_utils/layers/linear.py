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
    device, dtype : optional
        Of the weights, as in ``torch.nn.Linear``.

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

    The bases are no buffers: they stay on the CPU as they were given, and what is multiplied is cast from them to the type and
    device of the weights. So no ``.float()`` rounds them for good, and no device needs double precision. They are in the
    ``state_dict``, since coefficients say nothing without them.

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
        device=None,
        dtype=None,
    ):
        super().__init__()
        if basis.ndim != 3 or basis.layout != torch.strided or len(basis) == 0:
            raise ValueError(f"basis: got shape {tuple(basis.shape)}; give a dense (dim ≥ 1, n_out, n_in)")
        if bias_basis is not None and bias_basis.shape[1:] != (basis.shape[1], 1):
            raise ValueError(
                f"bias_basis: got shape {tuple(bias_basis.shape)}; give (dim, {basis.shape[1]}, 1)"
            )
        check_positive("in_channels", in_channels), check_positive("out_channels", out_channels)
        self._exact = {"basis": basis.detach().to("cpu", copy=True)}
        if bias_basis is not None:
            self._exact["bias_basis"] = bias_basis[..., 0].detach().to("cpu", copy=True)
        weights = {"device": device, "dtype": dtype}
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, len(basis), **weights))
        self.bias = (
            None
            if bias_basis is None
            else nn.Parameter(torch.empty(out_channels, len(bias_basis), **weights))
        )
        self.reset_parameters()
        self._cast = self._cast_bases()

    def reset_parameters(self) -> None:
        """Draw the weights anew: outputs have about a third of the inputs' size (those of ``torch.nn.Linear`` 0.58); the bias is 0."""
        basis = self._exact["basis"]
        scale = (3 * self.weight.shape[1] * basis.square().sum() / basis.shape[1]) ** -0.5
        with torch.no_grad():
            self.weight.uniform_(-1, 1).mul_(float(scale))
            if self.bias is not None:
                self.bias.zero_()

    @property
    def basis(self) -> torch.Tensor:
        """The maps that are combined, (dim, n_out, n_in), as a copy, as exact as it was given."""
        return self._exact["basis"].clone()

    @property
    def bias_basis(self) -> torch.Tensor | None:
        """The vectors that make the bias, (dim, n_out), or None: a copy."""
        return self._exact["bias_basis"].clone() if "bias_basis" in self._exact else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the learned map; shapes as in the class's notes."""
        wanted = (self.weight.shape[1], self._exact["basis"].shape[2])
        if tuple(x.shape[-2:]) != wanted:
            raise ValueError(f"x: got shape {tuple(x.shape)}; its last axes must be {wanted}")
        cast, weight = self._cast, self.weight
        if (cast["basis"].dtype, cast["basis"].device) != (weight.dtype, weight.device):
            cast = self._cast_bases()  # weights that were exchanged, not converted
        W = torch.einsum("oik,kab->oaib", weight, cast["basis"])
        y = torch.einsum("oaib,...ib->...oa", W, x)
        return y if self.bias is None else y + self.bias @ cast["bias_basis"]

    def _cast_bases(self) -> dict[str, torch.Tensor]:
        return {name: b.to(self.weight.dtype).to(self.weight.device) for name, b in self._exact.items()}

    def _apply(self, fn, *args, **kwargs):  # what .to, .float, .cuda and to_empty call
        super()._apply(fn, *args, **kwargs)
        self._cast = self._cast_bases()
        return self

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.update({prefix + name: b.clone() for name, b in self._exact.items()})

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ):
        for name, exact in self._exact.items():
            given = state_dict.get(prefix + name)
            if given is None:
                missing_keys.extend([prefix + name] * strict)
            elif given.shape != exact.shape:
                error_msgs.append(
                    f"{prefix + name}: got shape {tuple(given.shape)}; it must be {tuple(exact.shape)}"
                )
            elif not torch.equal(given.cpu(), exact.to(given.dtype)):  # a rounded copy does not replace it
                self._exact[name] = given.detach().to("cpu", copy=True)
        rest = {key: v for key, v in state_dict.items() if key.removeprefix(prefix) not in self._exact}
        super()._load_from_state_dict(
            rest, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        self._cast = self._cast_bases()
