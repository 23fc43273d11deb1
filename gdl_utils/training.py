"""Train a model: one loop for the whole book, the same numbers for the same seed."""

import os
import zipfile
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path

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
    plateau: int | None = None,
    checkpoint: str | Path | None = None,
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
    plateau : int, optional
        Stop when the mean loss of this many epochs in a row was not below 0.99 times the least one before. By default never.
        Meant for a loss that is not negative.
    checkpoint : str or Path, optional
        A file in which everything is saved after each epoch. If it exists, go on from it: the numbers are, on the CPU, those of
        a training that was not interrupted, torch's global random numbers (dropout) included. It stays when all is done.

    Returns
    -------
    list of float
        The mean loss in each epoch, those before an interruption included.

    Raises
    ------
    ValueError
        If the model has no parameters, there are no tensors, they differ in length or are empty, epochs, batch_size or plateau is not positive, the loss is
        not finite, or the checkpoint is damaged or belongs to another training.

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
    check_positive("plateau", 1 if plateau is None else plateau)
    lengths = [len(t) for t in tensors]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise ValueError(f"tensors: got lengths {lengths}; give at least one, all of one length above 0")
    n, order = lengths[0], torch.Generator().manual_seed(seed)
    parameters = list(model.parameters())
    if not parameters:
        raise ValueError(f"model: {type(model).__name__} has no parameters, so there is nothing to train")
    device = parameters[0].device
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-n // batch_size))
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    settings = {"seed": seed, "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    settings |= {"plateau": plateau, "number of examples": n}
    settings |= {f"model's {name}": f"{t.dtype} {tuple(t.shape)}" for name, t in model.state_dict().items()}
    history, path = [], None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        saved = _load(path, settings)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        order.set_state(saved["order"]), torch.set_rng_state(saved["torch"])
        history = saved["history"]
    model.train()
    for epoch in (bar := tqdm(range(len(history), epochs), initial=len(history), total=epochs, leave=False)):
        if plateau is not None and _is_flat(history, plateau):
            break
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
        if path is not None:
            state = {name: part.state_dict() for name, part in parts.items()}
            state |= {"order": order.get_state(), "torch": torch.get_rng_state()}
            _save(path, state | {"settings": settings, "history": history})
    model.eval()
    return history


def _is_flat(history: list[float], plateau: int) -> bool:
    """Return whether none of the last epochs got below 0.99 times the least loss before it."""
    least = accumulate(history, min)
    fell = [loss < 0.99 * before for before, loss in zip(least, history[1:], strict=False)]
    return len(fell) >= plateau and not any(fell[-plateau:])


def _save(path: Path, state: dict) -> None:
    """Write a file so that, whenever the process is killed, it is there as a whole or as it was before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, beside := path.with_name(path.name + ".tmp"))
    os.replace(beside, path)


def _load(path: Path, settings: dict) -> dict:
    """Read a checkpoint, or refuse one that is damaged or belongs to another training."""
    try:
        with zipfile.ZipFile(path) as file:
            if file.testzip() is not None:  # checksums, at which torch.load does not look
                raise ValueError("a checksum is wrong")
        saved = torch.load(path, map_location="cpu", weights_only=True)
        theirs = saved["settings"]
        other = [name for name in settings | theirs if settings.get(name) != theirs.get(name)]
    except Exception as error:
        raise ValueError(f"checkpoint: {path} is damaged; delete it to start anew") from error
    if other:
        its, here = theirs.get(other[0]), settings.get(other[0])
        raise ValueError(f"checkpoint: {path} has {other[0]} {its}, not {here}; delete it to start anew")
    return saved
