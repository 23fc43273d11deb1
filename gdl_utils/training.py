"""Train a model: one loop for the whole book, the same numbers for the same seed."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from tqdm import tqdm

from gdl_utils.groups.group import check_positive

__all__ = ["fit"]


def fit(
    model: nn.Module,
    loss: Callable,
    tensors: Sequence[torch.Tensor],
    *,
    epochs: int,
    batch_size: int = 50,
    learning_rate: float = 1e-2,
    seed: int = 0,
) -> list[float]:
    """Train a model with Adam, with a learning rate that falls to zero along a cosine.

    Parameters
    ----------
    model : nn.Module
        Trained in place, and left in evaluation mode. Its own start comes from ``torch.manual_seed`` before it is made.
    loss : callable
        ``loss(model, *batch)`` gives the mean loss of a batch, a scalar.
    tensors : sequence of tensors of shape (n, …)
        Inputs, targets and whatever else the loss takes; batches are cut from the first axis, and moved to the model's device.
    epochs : int
        How often each example is seen.
    batch_size : int
        Examples in a batch; what is left over at the end of an epoch is a smaller batch.
    learning_rate : float
        That of the first step.
    seed : int
        Decides the order of the examples. Same seed, same start: same numbers.

    Returns
    -------
    list of float
        The mean loss in each epoch.

    Raises
    ------
    ValueError
        If there are no tensors, they differ in length or are empty, epochs or batch_size is not positive, or the loss is not
        finite.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 100)[:, None]
    >>> _ = torch.manual_seed(0)
    >>> line = nn.Linear(1, 1)
    >>> losses = fit(line, lambda model, x, y: (model(x) - y).square().mean(), (x, 3 * x + 1), epochs=40, learning_rate=0.1)
    >>> losses[-1] < 0.01 < 1 < losses[0]
    True
    """
    check_positive("epochs", epochs), check_positive("batch_size", batch_size)
    lengths = [len(t) for t in tensors]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise ValueError(f"tensors: got lengths {lengths}; give at least one, all of one length above 0")
    n, order = lengths[0], torch.Generator().manual_seed(seed)
    device = next(model.parameters()).device
    steps = epochs * -(-n // batch_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    history = []
    for epoch in (bar := tqdm(range(epochs), leave=False)):
        total = 0.0
        for batch in torch.randperm(n, generator=order).split(batch_size):
            value = loss(model, *(t[batch].to(device) for t in tensors))
            if not torch.isfinite(value):
                raise ValueError(
                    f"loss: is {value.item()} in epoch {epoch + 1}; a smaller learning_rate may help"
                )
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            total += float(value.detach()) * len(batch)
        history.append(total / n)
        bar.set_postfix(loss=f"{history[-1]:.3g}")
    model.eval()
    return history
