"""Processes that train one model together, each with its share of a batch: who is there, and what they add up.

Without a process group of ``torch.distributed`` there is one, and its sums are its own.
"""

from collections.abc import Iterable

import torch
from torch import distributed, nn


def processes() -> tuple[int, int]:
    """Return which of how many processes this one is."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, t):
        total = t.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient):  # each process has a loss of its own, and all of them depend on the sum
        return _Summed.apply(gradient)


def summed(t: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor over all processes, and of its gradient."""
    return t if processes()[1] == 1 else _Summed.apply(t)


def mean_and_number(x: torch.Tensor, over: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean over axes and over all processes, whose shares may differ, and over how many numbers."""
    if processes()[1] == 1:
        return (mean := x.mean(over)), mean.new_tensor(x.numel() / max(mean.numel(), 1))
    total = x.sum(over)
    both = summed(torch.cat([total.flatten(), total.new_tensor([x.numel() / total.numel()])]))
    return (both[:-1] / both[-1]).view_as(total), both[-1]


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Add up the gradients of all processes, in one message; one that is missing everywhere stays so, and its parameter where it is."""
    parameters = [p for p in parameters if p.requires_grad]
    there = parameters[0].new_tensor([p.grad is not None for p in parameters])
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    total = summed(torch.cat([there, *(part.flatten() for part in parts)]))
    there, *parts = total.split([len(parts), *(part.numel() for part in parts)])
    for p, part, anywhere in zip(parameters, parts, there.tolist(), strict=True):
        p.grad = part.view_as(p).to(p.dtype) if anywhere else None
