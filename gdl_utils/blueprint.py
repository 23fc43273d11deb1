"""The blueprint of geometric deep learning: one module that is made of its four roles.

Linear equivariant layers, nonlinearities, local pooling, and a group-invariant layer at the end (Bronstein, Bruna, Cohen and
Veličković 2021, section 3.5). Any symmetry fills the same four places; ``equivariance.audit`` names them.
"""

import copy
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import nn

from gdl_utils.representations import Representation

__all__ = ["Blueprint"]


class Blueprint(nn.Sequential):
    """Compose equivariant layers, nonlinearities, local pooling and invariant pooling, and optionally a head.

    Respects whatever group all its parts respect: their composition is equivariant up to the invariant pooling, and invariant from
    there on. What the nonlinearities do to the fibres that the layers name (``fibre_out``, as of ``GroupConv``) is measured when it is made;
    ``equivariance.audit`` measures every part.

    Parameters
    ----------
    equivariant : sequence of nn.Module
        The linear equivariant layers, at least one.
    nonlinearity : callable
        Makes the module after each of them. Pointwise ones, such as ``nn.ReLU``, respect permutation representations (trivial,
        regular), odd ones such as ``nn.Tanh`` a sign too; for others there are ``NormReLU`` and ``Gated``.
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
        makes its input invariant; if a nonlinearity does not respect what the layer before it puts out, or a layer takes another
        fibre than it gets.

    Notes
    -----
    A nonlinearity is judged by what it does, not by its name: a copy, with parameters and statistics moved as training may move them,
    gets random signals that are alike at all points, so that the group moves their fibre alone. What cannot be tried passes.

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
        follower = _Follower()
        for i, (layer, pool) in enumerate(zip(equivariant, local_pooling, strict=True), start=1):
            follower.begin()
            parts = {"equivariant": layer, "nonlinearity": nonlinearity(), "local pooling": pool}
            for role, part in parts.items():
                if part is not None:
                    follower.follow(part, f"{role} {i}")
                    self.add_module(f"{role} {i}", part)
        if invariant_pooling is not None:
            self.add_module("invariant pooling", invariant_pooling)
        if head is not None:
            self.add_module("head", head)

    def __getitem__(self, index):
        """Return one part; for a slice, such as ``model[:-1]``, these parts as a plain ``nn.Sequential``."""
        if not isinstance(index, slice):
            return super().__getitem__(index)
        return nn.Sequential(OrderedDict(list(self._modules.items())[index]))  # also a part that comes twice


class _Follower:
    """Follow the fibre of a signal from part to part, and refuse the one that does not respect it or takes another."""

    def __init__(self):
        self.fibre, self.sure = None, True  # what comes out of the parts so far, where that is known

    def begin(self) -> None:
        """Begin a layer: what follows is measured from the last part of it that names what it puts out."""
        self.fibre = self.fibre if self.sure else None
        self.source, self.chain, self.sure = None, [], True

    def follow(self, part: nn.Module, where: str) -> None:
        """Go through one part, or through all of an ``nn.Sequential``."""
        if isinstance(part, nn.Sequential):
            for child in part:
                self.follow(child, where)
            return
        name, given = type(part).__name__, self.fibre
        wanted = _fibre_of(part, "fibre_in") or _fibre_of(part, "fibre")
        if self.sure and given and wanted and not _fits(given, wanted):
            raise ValueError(f"{where}: {name} takes {_named(wanted)}, but gets {_named(given)}")
        makers = [m for m in part.modules() if _fibre_of(m, "fibre_out") and hasattr(m, "out_channels")]
        if makers and where.startswith("equivariant"):  # itself, or the last one within
            self.source, self.chain, self.sure = makers[-1], [], part in makers
            self.fibre = self.before = self.source.fibre_out
            return
        self.fibre = _fibre_of(part, "fibre_out") or (wanted if self.source is None else given)
        if self.source is None or given is None:
            return
        self.chain.append(part)
        error = self._error()
        if error is None:
            self.fibre = self.source = None
        elif error > 1e-6:
            raise ValueError(
                f"{where}: {name} does not respect {_named(given)}, which {type(self.source).__name__} puts out: it makes a difference "
                f"of {error:.2g} (relative) whether the group acts before it or after it. {_remedy(given)}"
            )

    def _error(self) -> float | None:
        """Return |f(ρ(g)·x) - ρ(g)·f(x)| / |f(x)|, the largest of all generators; None if it cannot be told."""
        before, after, rng = self.before, self.fibre, torch.Generator().manual_seed(0)
        draw = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64, device="cpu")
        values, axes = (2, self.source.out_channels, *before.axis), getattr(self.source, "dimensions", 0)
        x = 3 * draw(*values, *[1] * axes)
        for side in (1, 8):  # windows of poolings do not fit into one point
            wide = x.expand(*values, *[side] * axes)
            # What a module cannot do here stays unmeasured.
            with (
                suppress(Exception),
                torch.no_grad(),
                torch.random.fork_rng(devices=[]),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                f = copy.deepcopy(nn.Sequential(*self.chain)).to("cpu", torch.float64)
                f.train()(1 + wide)  # the statistics of batches
                for p in (p for p in f.parameters() if p.requires_grad):
                    p.mul_(1 + draw(p.shape).abs()).add_(draw(p.shape).abs())
                y = f.eval()(wide.clone())
                if y.shape[2 : y.ndim - axes] != after.axis:
                    return None
                pairs = [(f(_act(before, g, wide)), _act(after, g, y)) for g in before.group.generators]
                return max([float((a - b).norm() / y.norm()) for a, b in pairs], default=0.0)
        return None


def _act(fibre: Representation, g: int, x: torch.Tensor) -> torch.Tensor:
    values = x.reshape(*x.shape[:2], fibre.size, -1)
    return (torch.tensor(fibre.matrices[g], dtype=x.dtype, device=x.device) @ values).reshape(x.shape)


def _fibre_of(part: nn.Module, attribute: str) -> Representation | None:
    fibre = getattr(part, attribute, None)
    return fibre if isinstance(fibre, Representation) else None


def _fits(given: Representation, wanted: Representation) -> bool:
    """Say whether one is the other, or may be its restriction to a part of the group."""
    if given.axis != wanted.axis:
        return False
    for g in wanted.group.generators:
        among = given.matrices[[g]] if given.group == wanted.group else given.matrices
        if not np.isclose(among, wanted.matrices[g], atol=1e-9).all(axis=(1, 2)).any():
            return False
    return True


def _named(fibre: Representation) -> str:
    return f"the {fibre.name} fibre of {fibre.group.name} (axis {fibre.axis or 'dropped'})"


def _remedy(fibre: Representation) -> str:
    """Say what would respect a fibre."""
    if fibre.is_permutation:
        return "What treats all entries of the fibre alike does, such as nn.ReLU"
    sizes = np.abs(fibre.matrices).round(9)  # where entries change places and signs alone, one 1 in each row
    signed = np.isin(sizes, (0, 1)).all() and (sizes.sum(axis=2) == 1).all()
    return (
        "Odd functions, such as nn.Tanh, "
        * bool(signed)
        + "NormReLU, Gated and FieldBatchNorm of gdl_utils.layers do; so does any pointwise function if the layer has "
        "fibre_out=regular(group)"
    )
