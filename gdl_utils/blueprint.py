"""The blueprint of geometric deep learning: one module that is made of its four roles.

Linear equivariant layers, nonlinearities, local pooling, and a group-invariant layer at the end (Bronstein, Bruna, Cohen and
Veličković 2021, section 3.5). Any symmetry fills the same four places; ``equivariance.audit`` names them.
"""

import copy
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import permutations

import numpy as np
import torch
from torch import nn

from gdl_utils.representations import Representation, trivial

ROUNDING = 1e-2  # relative; half precision within a module stays below, and what spoils a fibre is far above

__all__ = ["Blueprint"]


class Blueprint(nn.Sequential):
    """Compose equivariant layers, nonlinearities, local pooling and invariant pooling, and optionally a head.

    Respects whatever group all its parts respect: their composition is equivariant up to the invariant pooling, and invariant from
    there on. What the other parts do to the fibres that the layers name (``fibre_out``, as of ``GroupConv``) is measured when it is made;
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
    TypeError
        If a part is no module, or ``nonlinearity`` makes none.
    ValueError
        If there is no equivariant layer, local pooling is given for another number of layers, or there is a head and nothing that
        makes its input invariant; if a nonlinearity or a pooling does not respect what the layer before it puts out, or a layer takes
        another fibre than it gets.

    Notes
    -----
    A part is judged by what it does, not by its name: a copy, with parameters and statistics moved as training may move them,
    gets random signals, small and large, that turns and mirror images of space leave alone, so that the group moves their fibre alone.
    What cannot be tried passes, and so does what follows a block of layers that has no ``fibre_out`` of its own.

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
        if isinstance(nonlinearity, nn.Module):
            raise TypeError("nonlinearity: got a module; give what makes one for each layer, as nn.ReLU does")
        follower = _Follower()
        for i, (layer, pool) in enumerate(zip(equivariant, local_pooling, strict=True), start=1):
            follower.source = None  # what follows a layer that names nothing is not measured
            parts = {"equivariant": layer, "nonlinearity": nonlinearity(), "local pooling": pool}
            for role, part in parts.items():
                if part is not None:
                    self.add_module(f"{role} {i}", _checked(part, role))
                    follower.follow(part, f"{role} {i}")
        if invariant_pooling is not None:
            self.add_module("invariant pooling", _checked(invariant_pooling, "invariant_pooling"))
            follower.judge(invariant_pooling, "invariant pooling", forgets=True)
        if head is not None:
            self.add_module("head", head)

    def __getitem__(self, index):
        """Return one part; for a slice, such as ``model[:-1]``, these parts as a plain ``nn.Sequential``."""
        if not isinstance(index, slice):
            return super().__getitem__(index)
        return nn.Sequential(OrderedDict(list(self._modules.items())[index]))  # also a part that comes twice


class _Follower:
    """Follow the fibre of a signal from part to part, and refuse the one that does not respect it or takes another."""

    fibre = source = None  # what comes out, if known; the layer that names it, where measuring begins

    def follow(self, part: nn.Module, where: str) -> None:
        """Go through one part, or through all of an ``nn.Sequential`` that does nothing else."""
        plain = isinstance(part, nn.Sequential) and type(part).forward is nn.Sequential.forward
        if plain and not isinstance(next(iter(part), None), nn.Flatten):  # judged with what follows it
            for child in [*part][:1] + [nn.Sequential(*[*part][1:])] * (len(part) > 1):
                self.follow(child, where)
            return
        given, out = self.fibre, _fibre_of(part, "fibre_out")
        name, wanted = type(part).__name__, _fibre_of(part, "fibre_in") or _fibre_of(part, "fibre")
        if given and wanted and not _fits(given, wanted):
            raise ValueError(f"{where}: {name} takes {_named(wanted)}, but gets {_named(given)}")
        if out and hasattr(part, "out_channels"):
            self.source, self.chain, self.fibre = part, [], out
            return
        self.fibre = out or (wanted if self.source is None else given)
        self.judge(part, where)

    def judge(self, part: nn.Module, where: str, *, forgets: bool = False) -> None:
        """Refuse a part that does not respect what the source puts out; one that forgets the fibre must do so."""
        if self.source is None or self.fibre is None:
            return
        self.chain.append(part)
        layers = any(_fibre_of(m, "fibre_out") and hasattr(m, "out_channels") for m in part.modules())
        error = None if layers else self._error(forgets)
        if error is None:
            self.fibre, self.source = _fibre_of(part, "fibre_out"), None
        elif error > ROUNDING:
            raise ValueError(
                f"{where}: {type(part).__name__} does not respect {_named(self.source.fibre_out)}, which {type(self.source).__name__} "
                f"puts out: it makes a difference of {error:.2g} (relative) whether the group acts before it or "
                f"{'not' if forgets else 'after it'}. {_remedy(self.source.fibre_out)}"
            )

    def _error(self, forgets: bool) -> float | None:
        """Return |f(ρ(g)·x) - ρ(g)·f(x)| / |f(x)|, the largest of all generators and signals; None if it cannot be told."""
        before, d, errors = self.source.fibre_out, getattr(self.source, "dimensions", 0), []
        rng = torch.Generator().manual_seed(0)
        draw = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64, device="cpu")
        # One point, and more: windows of poolings do not fit into one, and where all are alike a maximum over them shows nothing.
        for side in (1, 4 if d == 3 else 8):
            x = _symmetric(draw(2, self.source.out_channels, *before.axis, *[side] * d), d)
            x = 3 * x / x.std()
            # What a module cannot do here stays unmeasured.
            with (
                suppress(Exception),
                torch.no_grad(),
                torch.random.fork_rng(devices=[]),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                f = copy.deepcopy(nn.Sequential(*self.chain)).to("cpu", torch.float64)
                for m in f.modules():  # a user's hooks are for his own calls
                    m._forward_hooks.clear(), m._forward_pre_hooks.clear()
                f.train()(1 + x)  # the statistics of batches
                for p in (p for p in f.parameters() if p.requires_grad):
                    p.mul_(1 + draw(p.shape).abs()).add_(draw(p.shape).abs())
                f.eval()
                for wide in (x, 100 * x):
                    y, after = f(wide.clone()), self.fibre
                    if after.axis and y.shape[1:2] == x.shape[1:2] and y.ndim == 2 + d:  # pooled over it
                        after = trivial(after.group)
                    if forgets and y.numel() == f[:-1](wide.clone()).numel():
                        break  # what only flattens does not claim to forget
                    if not forgets and y.shape[2 : y.ndim - d] != after.axis:
                        return None
                    for g in before.group.generators:
                        gap = f(_act(before, g, wide)) - (y if forgets else _act(after, g, y))
                        errors.append(float(_symmetric(gap, d).norm() / y.norm()))
                    self.fibre = after
        return max((error for error in errors if error == error), default=None)


def _checked(part: nn.Module, role: str) -> nn.Module:
    if not isinstance(part, nn.Module):
        raise TypeError(f"{role}: got {type(part).__name__} as a part of the network; an nn.Module is needed")
    return part


def _symmetric(x: torch.Tensor, d: int) -> torch.Tensor:
    """Return the mean over all turns and mirror images of the last d axes, so that a part may turn filters; without them x."""
    if x.ndim < 2 + d:
        return x
    for axis in range(-d, 0):
        x = (x + x.flip(axis)) / 2
    orders = [[*range(x.ndim - d), *order] for order in permutations(range(x.ndim - d, x.ndim))]
    return sum(x.permute(order) for order in orders) / len(orders)


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
        + "NormReLU, Gated, FieldBatchNorm and FieldNorms of gdl_utils.layers do; so does any pointwise function if the layer has "
        "fibre_out=regular(group)"
    )
