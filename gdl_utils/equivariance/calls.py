"""What an audit hears of a model: its input moved by the group, and what each call of each layer puts out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from gdl_utils.domains import Domain, cubic_grid, cycle, hexagonal_grid, nodes, square_grid
from gdl_utils.groups import Group
from gdl_utils.representations import Representation
from gdl_utils.signals import SignalSpace

OUTPUT, ROOT = "output of all", "model of all"  # the name of the output, or call, of the model itself


class Call(NamedTuple):
    """What one call put out."""

    name: str
    kind: str
    output: torch.Tensor
    shown: bool  # has a row; otherwise only where the symmetry is lost
    inner: bool  # more follows
    fibre: Representation | None = None  # what the module says that it puts out


class Input:
    """The input of a model, a tensor or a tuple or dict of what it takes, and how a group moves it."""

    def __init__(self, x: Any, group: Group | Domain | SignalSpace):
        self.x, everything = x, []
        _map(everything.append, x)
        tensors = [leaf for leaf in everything if isinstance(leaf, torch.Tensor)]
        if not tensors:
            raise TypeError(f"x: got {type(x).__name__}; give a tensor, or a tuple or dict that holds some")
        if isinstance(group, SignalSpace):
            self.space = group
        elif not isinstance(group, Group | Domain):
            raise TypeError(f"group: got {group!r}; give a Group, a Domain or a SignalSpace")
        else:
            self.space = SignalSpace(group if isinstance(group, Domain) else _domain(tensors[0], group))
        first = min(filter(self._place, tensors), key=lambda t: not t.is_floating_point(), default=None)
        if first is None:
            raise ValueError(
                f"x: got shape {tuple(tensors[0].shape)}; its last axes must be {self.space.shape}, after the batch, "
                "or those before the last"
            )
        self.dtype, d = first.dtype, len(self.space.shape)
        self._has_batch = first.ndim > d + (self._place(first) == "before channels")
        self.shape = tuple(self.batched(first).shape)
        self._places = [None if t is None else self._beside(t, first) for t in everything]

    def moved(self, g: int) -> Any:
        """Return g·x, in memory of its own, for the model may work in place."""
        d, act, places = len(self.space.shape), self.space.act, iter(self._places)

        def move(leaf: Any) -> Any:
            place = next(places)
            if place == "graph":
                return leaf.permuted(self.space.domain.permutation[g])
            if place == "pairs":
                return act(g, act(g, leaf).transpose(-1, -2)).transpose(-1, -2)
            if place == "before channels":
                return act(g, leaf.movedim(-1, -d - 1)).movedim(-d - 1, -1)
            if place == "last":
                return act(g, leaf)
            return leaf.clone() if isinstance(leaf, torch.Tensor) else leaf

        return _map(move, self.x)

    def scrambled(self) -> Any:
        """Return an input of about the same size that has nothing to do with x but what does not move."""
        rng, places, dtype = torch.Generator().manual_seed(0), iter(self._places), self.dtype
        whole, has_mask = not (dtype.is_floating_point or dtype.is_complex), not self.space.domain.mask.all()

        def scramble(leaf: Any) -> Any:
            if next(places) not in ("last", "before channels") or leaf.dtype != dtype:
                return leaf  # such as a mask
            at = torch.randint(leaf.numel(), leaf.shape, generator=rng).to(leaf.device)
            t = leaf if has_mask else leaf.flatten()[at]  # words of those given; what is outside stays there
            return t if whole and not has_mask else t * (0.5 + torch.rand(t.shape, generator=rng)).to(t)

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

    def _place(self, t: torch.Tensor) -> str | None:
        """Say where a tensor has the axes of space: last, or before the channels; None, nowhere."""
        d, shape = len(self.space.shape), tuple(t.shape)
        if t.ndim > d and shape[-d:] == self.space.shape:
            return "last"
        plain = not self.space.fibre.axis
        return "before channels" if plain and t.ndim > d and shape[-d - 1 : -1] == self.space.shape else None

    def _beside(self, leaf: Any, first: torch.Tensor) -> str | None:
        """Say how one of several inputs moves, the first of which tells whether there is a batch."""
        if hasattr(leaf, "permuted"):  # an adjacency matrix
            return "graph"
        if not isinstance(leaf, torch.Tensor):
            return None
        n, on_points = self.space.shape[-1], len(self.space.shape) == 1 and not self.space.fibre.axis
        if on_points and leaf is not first and tuple(leaf.shape[-2:]) == (n, n):
            return "pairs"
        if not self._has_batch and leaf is not first and tuple(leaf.shape) == self.space.shape:
            return "last"
        place = self._place(leaf)
        if place is None and on_points and leaf.ndim == 2 and len(leaf) == 2 and not leaf.is_floating_point():
            raise ValueError(
                f"x: got integers of shape {tuple(leaf.shape)}; an edge list does not move along, give an Adjacency"
            )
        return place


def calls(model: nn.Module, x: Any) -> dict[tuple, Call]:
    """Run a model, and return what each of its modules put out, in the order in which they were done.

    Keys are (name, what, place in the output, which time). A module without calls inside of it has a row; what goes into it, and what a module with parts
    puts out, are heard too, for something may have been done between the layers.
    """
    found, times, inside, hooks, recent = {}, {}, [], [], {}
    modes = {module: (module.training, dict(module._buffers)) for module in model.modules()}
    state = [(buffer, buffer.clone()) for buffer in model.buffers()]

    def hear(name: str, what: str, kind: str, tensors: Any, shown: bool, inner: bool, fibre=None) -> None:
        if shown:
            recent["shown"] = []
        for place, t in leaves(tensors):
            if t.layout != torch.strided or t.is_nested:  # such as a sparse matrix that is handed on
                continue
            if not shown and _equal(t, recent.get("heard")):
                continue
            key = name or ROOT, what, place
            times[key] = times.get(key, 0) + 1
            output = t.detach().clone()  # for the next layer may work in place
            words = f"{what} {name}" if what == "input of" else name or "model"
            found[(*key, times[key])] = Call(words + place, kind, output, shown, inner, fibre)
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
                fibre = getattr(module, "fibre_out", None)
                fibre = fibre if isinstance(fibre, Representation) else None
                hear(name, "output", type(module).__name__, output, not parts, bool(name), fibre)

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
        for module, (mode, buffers) in modes.items():
            module.training = mode
            module._buffers.update(buffers)
        with torch.no_grad():
            for buffer, before_all in state:
                buffer.copy_(before_all)
    if strange := [t.layout for _, t in leaves(output) if t.layout != torch.strided or t.is_nested]:
        raise TypeError(f"model: puts out a tensor of layout {strange[0]}; the audit compares dense ones")
    if not list(leaves(output)):
        raise TypeError(
            f"model: puts out no tensor that the audit can find, but {type(output).__name__}; give tensors, or tuples, dicts or dataclasses of them"
        )
    if not any(key[0] == ROOT for key in found):
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
        items = [_map(function, item) for item in x]
        return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
    return function(x)


def _equal(t: torch.Tensor, other: torch.Tensor | None) -> bool:
    return other is not None and t.shape == other.shape and t.dtype == other.dtype and torch.equal(t, other)


def _domain(x: torch.Tensor, group: Group) -> Domain:
    """Return the first domain with as many axes as x has beside batch and channels on which the group is known to act.

    Space is last, or before the last axis; not there if one of these axes is 1, which is that of channels.
    """
    reasons = []
    d = {4: 2, 5: 3}.get(x.ndim, 1)
    for sides in (tuple(x.shape[-d:]), tuple(x.shape[-d - 1 : -1]))[: 1 + (1 not in x.shape[-d - 1 : -1])]:
        for make in {2: (square_grid, hexagonal_grid), 3: (cubic_grid,)}.get(d, (cycle, nodes)):
            if len(sides) < d or (make is hexagonal_grid and len(set(sides)) > 1):
                continue
            try:
                return make(sides if make in (square_grid, cubic_grid) else sides[0], group)
            except ValueError as error:
                reasons.append(str(error))
    raise ValueError(f"group: acts on no domain that fits x of shape {tuple(x.shape)}; {'; '.join(reasons)}")
