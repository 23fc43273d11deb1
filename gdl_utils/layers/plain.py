"""A whole network made plain: the same function, made of torch's own layers."""

import copy

from torch import nn

from gdl_utils.layers.convolutions import GroupConv, LiftingConv
from gdl_utils.layers.normalisation import GroupBatchNorm
from gdl_utils.layers.pooling import GlobalPool, GroupPool, spatial
from gdl_utils.representations import Representation


def to_plain(model: nn.Module) -> nn.Module:
    """Return a copy of a network in which group convolutions and what goes with them are torch's own layers, for deployment.

    The same function on the same shapes, in evaluation mode and in training: filters are written out in all positions, and no longer tied
    to each other. So it keeps the symmetry as long as it is not trained.

    Parameters
    ----------
    model : nn.Module
        Any module. In the place of ``LiftingConv`` and ``GroupConv`` it gets ``nn.ConvNd`` between ``nn.Flatten`` and ``nn.Unflatten``;
        ``GroupPool`` (of strands and images), ``GlobalPool`` and ``GroupBatchNorm`` become plain as well, ``spatial`` where all fibres of
        the network that have an axis have one size. Everything else is copied: other layers, classes of yours that are made from these,
        and those that have hooks.

    Returns
    -------
    nn.Module
        It no longer follows the model's weights, nor refuses inputs that do not fit.

    Examples
    --------
    >>> import torch
    >>> from gdl_utils.domains import square_grid
    >>> from gdl_utils.groups import cyclic
    >>> kernel = square_grid(3, cyclic(4))
    >>> model = nn.Sequential(LiftingConv(kernel, 1, 2), nn.ReLU(), GroupConv(kernel, 2, 2), GroupPool())
    >>> x = torch.randn(2, 1, 7, 7)
    >>> torch.allclose(to_plain(model)(x), model(x), atol=1e-6)
    True
    """
    names = ("fibre", "fibre_in", "fibre_out")
    fibres = [getattr(module, name, None) for module in model.modules() for name in names]
    orders = {f.size for f in fibres if isinstance(f, Representation) and f.axis}
    return _plain(copy.deepcopy(model), orders, {})


def _plain(module: nn.Module, orders: set[int], done: dict[nn.Module, nn.Module]) -> nn.Module:
    """Return what takes the place of a module; one that is used twice is replaced by one."""
    if module not in done:
        for name, child in module._modules.items():  # named_children would skip one that comes again
            if child is not None:
                setattr(module, name, _plain(child, orders, done))
        done[module] = _replacement(module, orders).train(module.training)
    return done[module]


def _replacement(module: nn.Module, orders: set[int]) -> nn.Module:
    known = (LiftingConv, GroupConv, GroupPool, GlobalPool, GroupBatchNorm, spatial)
    if type(module) not in known or module._forward_hooks or module._forward_pre_hooks:
        return module  # it may do something else
    if isinstance(module, LiftingConv):
        flat = [nn.Flatten(1, 2)] if module.fibre.axis else []
        unfold = [nn.Unflatten(1, (module.out_channels, *axis))] if (axis := module.fibre_out.axis) else []
        return nn.Sequential(*flat, module.to_conv(), *unfold)
    if isinstance(module, GroupPool):
        pool = {1: nn.AdaptiveMaxPool2d, 2: nn.AdaptiveMaxPool3d}.get(module.dimensions)
        if pool is None:  # torch pools over three axes at most
            return module
        pool = pool((1, *(None,) * module.dimensions))  # of any size, and to 1
        return nn.Sequential(pool, nn.Flatten(1, 2))
    if isinstance(module, GlobalPool):
        return nn.Sequential(nn.Flatten(2), nn.AdaptiveAvgPool1d(1), nn.Flatten())
    if isinstance(module, GroupBatchNorm):
        # Of torch's own the one that takes any number of axes; outside of a process group it synchronises nothing.
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    if isinstance(module, spatial) and len(orders) == 1:  # else only the input says which size it meets
        return nn.Sequential(nn.Flatten(1, 2), module.module, nn.Unflatten(1, (-1, *orders)))
    return module
