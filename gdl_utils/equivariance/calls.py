"""What an audit hears of a model: its input moved by the group, and what each call of each layer puts out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from gdl_utils.domains import Domain, cubic_grid, cycle, hexagonal_grid, nodes, square_grid
from gdl_utils.groups import Group
from gdl_utils.signals import SignalSpace

OUTPUT = "output of all"  # what a call is noted under that is the model's own


class Call(NamedTuple):
    """What one call put out."""

    name: str
    kind: str
    output: torch.Tensor
    shown: bool  # has a row; otherwise only where the symmetry is lost
    inner: bool  # more follows


class Input:
    """The input of a model, a tensor or a tuple or dict of what it takes, and how a group moves it."""

    def __init__(self, x: Any, group: Group | Domain | SignalSpace):
        self.x, tensors = x, []
        _map(lambda leaf: tensors.append(leaf) if isinstance(leaf, torch.Tensor) else None, x)
        if not tensors:
            raise TypeError(f"x: got {type(x).__name__}; give a tensor, or a tuple or dict that holds some")
        if isinstance(group, SignalSpace):
            self.space = group
        else:
            self.space = SignalSpace(group if isinstance(group, Domain) else _domain(tensors[0], group))
        moving = [t for t in tensors if self._axis(t) is not None]
        if not moving:
            raise ValueError(
                f"x: got shape {tuple(tensors[0].shape)}; its last axes must be {self.space.shape}, after the batch, "
                "or those before the last"
            )
        first = next((t for t in moving if t.is_floating_point()), moving[0])
        self.dtype = first.dtype
        self._has_batch = first.ndim > len(self.space.shape) + (0 if self._axis(first) == -1 else 1)
        self.shape = tuple(self.batched(first).shape)

    def moved(self, g: int) -> Any:
        """Return g·x, in memory of its own, for the model may work in place."""
        d = len(self.space.shape)

        def move(leaf: Any) -> Any:
            if hasattr(leaf, "permuted"):  # an adjacency matrix
                return leaf.permuted(self.space.domain.permutation[g])
            axis = self._axis(leaf)
            if axis == -1:
                return self.space.act(g, leaf)
            if axis == -2:
                return self.space.act(g, leaf.movedim(-1, -d - 1)).movedim(-d - 1, -1)
            return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf

        return _map(move, self.x)

    def scrambled(self) -> Any:
        """Return an input of about the same size that has nothing to do with x but what does not move."""
        rng = torch.Generator().manual_seed(0)

        def scramble(leaf: Any) -> Any:
            if self._axis(leaf) is None or not leaf.is_floating_point():
                return leaf
            order = torch.randperm(leaf.numel(), generator=rng)
            factor = 0.5 + torch.rand(leaf.shape, generator=rng)
            mask = torch.from_numpy(self.space.domain.mask)
            if not mask.all():  # what lies outside stays there
                order = torch.arange(leaf.numel())
            return (leaf.flatten()[order].view_as(leaf) * factor.to(leaf)).clone()

        return _map(scramble, self.x)

    def batched(self, y: torch.Tensor) -> torch.Tensor:
        """Return an output with a batch axis, be it of one example."""
        return y if self._has_batch else y[None]

    def check_type(self, model: nn.Module) -> None:
        """Move the input to where the model is; refuse one of another type than all of its weights."""
        weights = [p for p in (*model.parameters(), *model.buffers()) if p.is_floating_point()]
        if weights and self.dtype.is_floating_point and all(p.dtype != self.dtype for p in weights):
            raise ValueError(
                f"x: got {self.dtype}, the model's weights are {weights[0].dtype}; convert one, as by model.double()"
            )
        if weights:
            self.x = _map(lambda t: t.to(weights[0].device) if isinstance(t, torch.Tensor) else t, self.x)

    def _axis(self, leaf: Any) -> int | None:
        """Say where a tensor has the axes of space: -1, at the end, -2, before the channels; None, nowhere."""
        if not isinstance(leaf, torch.Tensor):
            return None
        d = len(self.space.shape)
        if leaf.ndim > d and tuple(leaf.shape[-d:]) == self.space.shape:
            return -1
        fits = (
            not self.space.fibre.axis and leaf.ndim > d and tuple(leaf.shape[-d - 1 : -1]) == self.space.shape
        )
        return -2 if fits else None


def calls(model: nn.Module, x: Any) -> dict[tuple, Call]:
    """Run a model, and return what each of its modules put out, in the order in which they were done.

    Keys are (name, what, which time). A module without calls inside of it has a row; what goes into it, and what a module with parts
    puts out, are heard too, for something may have been done between the layers.
    """
    found, times, inside, hooks, recent = {}, {}, [], [], {}
    modes = {module: module.training for module in model.modules()}

    def hear(name: str, what: str, kind: str, tensors: Any, shown: bool, inner: bool) -> None:
        if shown:
            recent["shown"] = []
        for place, t in leaves(tensors):
            if not shown and _equal(t, recent.get("heard")):
                continue
            key = name, what, place
            times[key] = times.get(key, 0) + 1
            output = t.detach().clone()  # for the next layer may work in place
            words = f"{what} {name}" if what == "input of" else name
            found[(*key, times[key])] = Call(words + place, kind, output, shown, inner)
            recent["heard"] = output
            if shown:
                recent["shown"].append(output)

    def before(name: str) -> Callable:
        def hook(module, args, kwargs):
            inside.append(0)
            if name:
                hear(name, "input of", "between layers", (*args, *kwargs.values()), False, True)

        return hook

    def after(name: str) -> Callable:
        def hook(module, args, output):
            parts = inside.pop()
            if inside:
                inside[-1] += 1
            if name or not parts:
                hear(name or "model", "output", type(module).__name__, output, not parts, bool(name))

        return hook

    try:
        for name, module in model.named_modules():
            hooks.append(module.register_forward_pre_hook(before(name), with_kwargs=True))
            hooks.append(module.register_forward_hook(after(name)))
        model.eval()
        with torch.no_grad():
            output = model(*x) if isinstance(x, tuple) else model(**x) if isinstance(x, dict) else model(x)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    if not any(key[0] == "model" for key in found):
        for place, t in leaves(output):
            new = not any(_equal(t, shown) for shown in recent.get("shown", ()))
            call = Call(f"output{place}", type(model).__name__, t.detach().clone(), new, False)
            found[OUTPUT, "output", place, 1] = call
    return found


def leaves(output: Any, place: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of an output of any structure, each with its place in it."""
    if isinstance(output, torch.Tensor):
        yield place, output
    elif isinstance(output, Mapping):
        for key, item in output.items():
            yield from leaves(item, f"{place}[{key!r}]")
    elif isinstance(output, tuple | list):
        for i, item in enumerate(output):
            yield from leaves(item, f"{place}[{i}]" if len(output) > 1 else place)
    elif is_dataclass(output) and not isinstance(output, type):
        for field in fields(output):
            yield from leaves(getattr(output, field.name), f"{place}.{field.name}")


def _map(function: Callable, x: Any) -> Any:
    """Apply a function to what an input holds, in tuples, lists and dicts."""
    if isinstance(x, dict):
        return {key: _map(function, item) for key, item in x.items()}
    if isinstance(x, tuple | list):
        return type(x)(_map(function, item) for item in x)
    return function(x)


def _equal(t: torch.Tensor, other: torch.Tensor | None) -> bool:
    return other is not None and t.shape == other.shape and t.dtype == other.dtype and torch.equal(t, other)


def _domain(x: torch.Tensor, group: Group) -> Domain:
    """Return the first domain with as many axes as x has beside batch and channels on which the group is known to act."""
    reasons = []
    d = {4: 2, 5: 3}.get(x.ndim, 1)
    for sides in (tuple(x.shape[-d:]), tuple(x.shape[-d - 1 : -1])):
        for make in {2: (square_grid, hexagonal_grid), 3: (cubic_grid,)}.get(d, (cycle, nodes)):
            if len(sides) < d or (make is hexagonal_grid and len(set(sides)) > 1):
                continue
            try:
                return make(sides if make in (square_grid, cubic_grid) else sides[0], group)
            except ValueError as error:
                reasons.append(str(error))
    raise ValueError(f"group: acts on no domain that fits x of shape {tuple(x.shape)}; {'; '.join(reasons)}")
