"""Averaging over the orbit: what makes any model respect a finite group, whatever it is made of."""

import torch
from torch import nn

from gdl_utils.domains import Domain
from gdl_utils.signals import SignalSpace, as_space


class averaged(nn.Module):  # it reads as a word of the model: averaged(model, space)
    """Average a model over the group: all g·x go through the same weights, and the mean of the answers is the answer.

    Invariant to the group, or equivariant if ``space_out`` says how it acts on the output: ``(1/|G|) Σ_g ρ_out(g)⁻¹ model(g·x)``. Exact for
    any model, in training as well, and the model's own parameters are all that is trained. It costs ``|G|`` times the arithmetic and
    memory of the model: the copies are one batch. So batch normalisation sees each image in all its positions, and stays exact.
    Dropout does not: each copy loses other entries.

    Parameters
    ----------
    model : nn.Module
        From ``(batch, …, *space.shape)`` to any tensor with the batch first; with ``space_out`` to ``(batch, …, *space_out.shape)``.
    space : SignalSpace or Domain
        Says how the group acts on the input; a domain means its plain signals. All elements are tried, so it has to be small.
    space_out : SignalSpace or Domain, optional
        Says how it acts on the output; left out, the average is invariant.

    Raises
    ------
    ValueError
        If the two spaces belong to different groups; in ``forward``, if the input has no batch axis, or as ``SignalSpace.act``.

    Notes
    -----
    An orthogonal projection: it takes the part of the model that respects the group, leaves alone a model that does already, and
    forgets the rest; twice is once. Also known as symmetrisation, group averaging, or the Reynolds operator.

    Examples
    --------
    >>> from gdl_utils.domains import square_grid
    >>> from gdl_utils.equivariance import assert_equivariant
    >>> from gdl_utils.groups import cyclic
    >>> space = SignalSpace(square_grid(8, cyclic(4)))
    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).double()
    >>> x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    >>> assert_equivariant(averaged(model, space), x, space) <= 1e-12
    True
    """

    def __init__(
        self, model: nn.Module, space: SignalSpace | Domain, space_out: SignalSpace | Domain | None = None
    ):
        super().__init__()
        space = as_space("space", space)
        space_out = None if space_out is None else as_space("space_out", space_out)
        if space_out is not None and space_out.group != space.group:
            raise ValueError(f"space_out: belongs to {space_out.group!r}, space to {space.group!r}")
        self.model, self.space, self.space_out = model, space, space_out
        self._back = space.group.inverse.tolist()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Answer by the mean over the orbit of x."""
        if x.ndim <= len(self.space.shape):
            raise ValueError(f"x: got shape {tuple(x.shape)}; give (batch, …, *{self.space.shape})")
        elements = range(len(self.space.group))
        y = self.model(torch.cat([self.space.act(g, x) for g in elements]))
        if not isinstance(y, torch.Tensor):
            raise TypeError(f"model: gave {type(y).__name__}; a tensor with the batch first is needed")
        answers = y.unflatten(0, (len(elements), x.shape[0]))  # len(x) would be fixed by torch.export
        if self.space_out is None:
            return answers.mean(0)
        return torch.stack([self.space_out.act(self._back[g], answers[g]) for g in elements]).mean(0)

    def extra_repr(self) -> str:
        """Say over what."""
        return f"{self.space}" if self.space_out is None else f"{self.space} → {self.space_out}"
