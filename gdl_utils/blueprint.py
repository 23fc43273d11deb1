"""The blueprint of geometric deep learning: one module that is made of its four roles.

Linear equivariant layers, nonlinearities, local pooling, and a group-invariant layer at the end (Bronstein, Bruna, Cohen and
Veličković 2021, section 3.5). Any symmetry fills the same four places; ``equivariance.audit`` names them.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

from torch import nn

__all__ = ["Blueprint"]


class Blueprint(nn.Sequential):
    """Compose equivariant layers, nonlinearities, local pooling and invariant pooling, and optionally a head.

    Respects whatever group all its parts respect: their composition is equivariant up to the invariant pooling, and invariant from
    there on. It checks no part; ``equivariance.audit`` measures each.

    Parameters
    ----------
    equivariant : sequence of nn.Module
        The linear equivariant layers, at least one.
    nonlinearity : callable
        Makes the module after each of them, such as ``nn.ReLU``. Pointwise ones respect permutation representations (trivial,
        regular); on others they do not.
    local_pooling : sequence of (nn.Module or None), optional
        What follows each nonlinearity; by default nothing. As many as equivariant layers.
    invariant_pooling : nn.Module, optional
        Makes the output invariant; left out where the task is equivariant, such as segmentation.
    head : nn.Module, optional
        What computes the answer from the invariants. Any function will do.

    Raises
    ------
    ValueError
        If there is no equivariant layer, local pooling is given for another number of layers, or there is a head and nothing that
        makes its input invariant.

    Examples
    --------
    >>> import torch
    >>> from gdl_utils.domains import square_grid
    >>> from gdl_utils.groups import cyclic
    >>> from gdl_utils.layers import GroupConv, LiftingConv, GlobalPool, spatial
    >>> kernel = square_grid(3, cyclic(4))
    >>> model = Blueprint(
    ...     [LiftingConv(kernel, 1, 4), GroupConv(kernel, 4, 8)],
    ...     local_pooling=[spatial(nn.AvgPool2d(2)), None],
    ...     invariant_pooling=GlobalPool(2, group_axis=True),
    ...     head=nn.Linear(8, 10),
    ... )
    >>> list(dict(model.named_children()))
    ['equivariant 1', 'nonlinearity 1', 'local pooling 1', 'equivariant 2', 'nonlinearity 2', 'invariant pooling', 'head']
    >>> model(torch.zeros(2, 1, 14, 14)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        equivariant: Sequence[nn.Module],
        *,
        nonlinearity: Callable[[], nn.Module] = nn.ReLU,
        local_pooling: Sequence[nn.Module | None] | None = None,
        invariant_pooling: nn.Module | None = None,
        head: nn.Module | None = None,
    ):
        equivariant = list(equivariant)
        local_pooling = [None] * len(equivariant) if local_pooling is None else list(local_pooling)
        if not equivariant:
            raise ValueError("equivariant: got no layer; give at least one")
        if len(local_pooling) != len(equivariant):
            raise ValueError(
                f"local_pooling: got {len(local_pooling)} for {len(equivariant)} equivariant layers; give one for each, or None"
            )
        if head is not None and invariant_pooling is None:
            raise ValueError("head: needs invariant_pooling, or it undoes what the layers before it respect")
        super().__init__()
        for i, (layer, pool) in enumerate(zip(equivariant, local_pooling, strict=True), start=1):
            self.add_module(f"equivariant {i}", layer)
            self.add_module(f"nonlinearity {i}", nonlinearity())
            if pool is not None:
                self.add_module(f"local pooling {i}", pool)
        if invariant_pooling is not None:
            self.add_module("invariant pooling", invariant_pooling)
        if head is not None:
            self.add_module("head", head)

    def __getitem__(self, index):
        """Return one part; for a slice, such as ``model[:-1]``, these parts as a plain ``nn.Sequential``."""
        if not isinstance(index, slice):
            return super().__getitem__(index)
        return nn.Sequential(OrderedDict(list(self.named_children())[index]))
