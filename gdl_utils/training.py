"""Train a model: one loop for the whole book, the same numbers for the same seed; and what classifiers are trained and judged by."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from tqdm import tqdm

from gdl_utils._checkpoints import check_noted, checksum, load, save
from gdl_utils._checks import check_positive
from gdl_utils._processes import processes, sum_gradients, summed
from gdl_utils.layers import GroupBatchNorm

__all__ = ["accuracy", "cross_entropy", "fit"]


def fit(
    model: nn.Module,
    loss: Callable,
    tensors: Sequence[torch.Tensor],
    *,
    epochs: int,
    batch_size: int = 50,
    learning_rate: float = 1e-2,
    seed: int = 0,
    each_epoch: Callable[[nn.Module, float], Any] | None = None,
    checkpoint: str | Path | None = None,
) -> list:
    """Train a model with Adam, with a learning rate that falls to zero along a cosine.

    Where there is a process group (``torchrun`` starts the processes, ``init_process_group`` of ``torch.distributed`` makes the group),
    its processes train the one model together: each takes its share of every batch. All of them call ``fit`` with the same arguments.

    Parameters
    ----------
    model : nn.Module
        Trained in place, and left in evaluation mode. Its own start comes from ``torch.manual_seed`` before it is made.
    loss : callable
        ``loss(model, *batch)`` gives the mean loss of a batch, a scalar; for classes ``cross_entropy``.
    tensors : sequence of tensors of shape (n, …)
        Inputs, targets and whatever else the loss takes; batches are cut from the first axis, and moved to the model's device.
        Tensors, not arrays.
    epochs : int
        How often each example is seen.
    batch_size : int
        Examples in a batch; what is left over at the end of an epoch is a smaller batch.
    learning_rate : float
        That of the first step.
    seed : int
        Decides the order of the examples. Same seed, same start: same numbers.
    each_epoch : callable, optional
        ``each_epoch(model, loss)`` gives what to note after an epoch; by default its mean loss. The model is in evaluation mode
        meanwhile. With a checkpoint it must be made of Python's own numbers and text, in lists, tuples and dicts, or of tensors.
    checkpoint : str or Path, optional
        A file in which everything is saved after each epoch. If it exists, go on from it: the numbers are, on the CPU, those of
        a training that was not interrupted, torch's global random numbers (dropout) included. It stays when all is done.

    Returns
    -------
    list
        What was noted after each epoch, those before an interruption included.

    Raises
    ------
    TypeError
        If something else than a tensor is among the tensors, the loss is no tensor, or ``each_epoch`` notes what a checkpoint
        cannot give back.
    ValueError
        If the model has no parameters, or lazy ones that have no shape yet; there are no tensors, they differ in length or are empty;
        epochs or batch_size is not positive; the loss is not one finite number; a last batch of one example cannot be normalised;
        a batch has fewer examples than there are processes, or batch normalisation that does not know of them; or the checkpoint is
        a folder, cannot be read as one of ``fit``, or belongs to another training or to other data.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 100)[:, None]
    >>> _ = torch.manual_seed(0)
    >>> line = nn.Linear(1, 1)
    >>> losses = fit(line, lambda model, x, y: (model(x) - y).square().mean(), (x, 3 * x + 1), epochs=40, learning_rate=0.1)
    >>> losses[-1] < 0.01 < 1 < losses[0]
    True
    """
    epochs, batch_size = check_positive("epochs", epochs), check_positive("batch_size", batch_size)
    seed, learning_rate = int(seed), float(learning_rate)  # Python's own, as a checkpoint keeps them
    if isinstance(tensors, torch.Tensor):
        raise TypeError("tensors: got one tensor; give a tuple, such as (x, y), or (x,)")
    for i, t in enumerate(tensors):
        if not isinstance(t, torch.Tensor):
            raise TypeError(f"tensors: number {i} is a {type(t).__name__}; give tensors, torch.as_tensor(…)")
    lengths = [len(t) for t in tensors]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise ValueError(f"tensors: got lengths {lengths}; give at least one, all of one length above 0")
    n, order = lengths[0], torch.Generator().manual_seed(seed)
    parameters = list(model.parameters())
    if not parameters:
        raise ValueError(f"model: {type(model).__name__} has no parameters, so there is nothing to train")
    if not any(p.requires_grad for p in parameters):
        raise ValueError(f"model: {type(model).__name__} is frozen; none of its parameters is trained")
    if any(nn.parameter.is_lazy(p) for p in parameters):
        raise ValueError(
            f"model: {type(model).__name__} has lazy layers without a shape yet; show it one batch first"
        )
    device, (rank, size) = parameters[0].device, processes()
    if size > 1:
        _check_shared_out(model, n, batch_size, size)
    # foreach: all parameters in one call, which small models feel; the numbers are the same, bit by bit
    optimizer = torch.optim.Adam(parameters, lr=learning_rate, foreach=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * -(-n // batch_size))
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    path = None if checkpoint is None else Path(checkpoint)
    settings = {"seed": seed, "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    settings |= {"number of examples": n}
    settings |= {f"model's {name}": f"{t.dtype} {tuple(t.shape)}" for name, t in model.state_dict().items()}
    if path is not None:
        settings |= {f"checksum of tensor {i}": checksum(t) for i, t in enumerate(tensors)}
    history = []
    if path is not None and path.exists():
        saved = load(path, settings)
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        order.set_state(saved["order"]), torch.set_rng_state(saved["torch"])
        history = saved["history"]
    if size > 1:
        _begin_alike(model, len(history))
    hidden = {"disable": True} if rank else {}  # one progress bar
    for epoch in (
        bar := tqdm(range(len(history), epochs), initial=len(history), total=epochs, leave=False, **hidden)
    ):
        model.train()
        total = 0.0
        if size > 1:
            # What is drawn on the way (dropout) differs between processes, and is the same after an interruption.
            torch.manual_seed((seed * epochs + epoch) * size + rank)
        for batch in torch.randperm(n, generator=order).split(batch_size):
            some = batch[rank::size]
            value = _loss_of(loss, model, [t[some].to(device) for t in tensors], batch_size)
            value = value * (len(some) / len(batch))  # its part of the mean
            mean = float(summed(value.detach()))
            if not math.isfinite(mean):
                raise ValueError(f"loss: is {mean} in epoch {epoch + 1}; try a smaller learning_rate")
            optimizer.zero_grad()
            value.backward()
            if size > 1:
                sum_gradients(parameters)
            optimizer.step()
            schedule.step()
            total += mean * len(batch)
        bar.set_postfix(loss=f"{total / n:.3g}")
        model.eval()
        history.append(total / n if each_epoch is None else each_epoch(model, total / n))
        if path is not None and rank == 0:
            check_noted(history[-1])
            state = {name: part.state_dict() for name, part in parts.items()}
            state |= {"order": order.get_state(), "torch": torch.get_rng_state()}
            save(path, state | {"settings": settings, "history": history})
    model.eval()
    return history


def cross_entropy(model: nn.Module, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of a classifier's scores, a loss for ``fit``.

    Parameters
    ----------
    model : nn.Module
        It makes scores (n, classes) of x.
    x : tensor of shape (n, …)
        The inputs.
    label : int64 tensor of shape (n,)
        The right class of each.

    Examples
    --------
    >>> cross_entropy(nn.Identity(), torch.zeros(3, 2), torch.tensor([0, 1, 1]))  # log 2: nothing is known
    tensor(0.6931)
    """
    return nn.functional.cross_entropy(model(x), label)


@torch.no_grad()
def accuracy(model: Callable, x: torch.Tensor, label: torch.Tensor) -> float:
    """Return the share of examples whose highest score is that of their label.

    Parameters
    ----------
    model : callable
        A model, in the mode in which it is, or any function that makes scores (n, classes) of x. It sees 500 examples at a time.
    x : tensor of shape (n, …)
        The inputs.
    label : integer tensor of shape (n,)
        The right class of each.

    Raises
    ------
    ValueError
        If there are not as many labels as examples, or none; labels are not whole numbers of shape (n,); scores are not (n, classes)
        with two classes or more, or not finite.

    Examples
    --------
    >>> accuracy(nn.Identity(), torch.eye(4), torch.tensor([0, 1, 2, 2]))
    0.75
    """
    if len(x) != len(label) or len(label) == 0:
        raise ValueError(f"x, label: got {len(x)} and {len(label)}; give as many, and at least one")
    if label.ndim != 1 or label.is_floating_point() or label.is_complex():
        shape = f"shape {tuple(label.shape)}"
        raise ValueError(f"label: got {label.dtype}, {shape}; one whole number an example is needed, (n,)")
    right = 0
    for some, wanted in zip(x.split(500), label.split(500), strict=True):
        scores = model(some)
        if scores.ndim != 2 or len(scores) != len(some) or scores.shape[1] < 2:
            raise ValueError(
                f"model: gives shape {tuple(scores.shape)} for {len(some)} examples; scores are (n, classes)"
            )
        if not scores.isfinite().all():
            raise ValueError("model: gives scores that are not finite")
        if wanted.min() < 0 or wanted.max() >= scores.shape[1]:
            raise ValueError(
                f"label: has {int(wanted.min())} to {int(wanted.max())}; the scores are of classes 0 to {scores.shape[1] - 1}"
            )
        right += int((scores.argmax(1) == wanted).sum())
    return right / len(label)


def _loss_of(loss: Callable, model: nn.Module, batch: list[torch.Tensor], batch_size: int) -> torch.Tensor:
    """Return the loss of a batch, which must be one number."""
    try:
        value = loss(model, *batch)
    except ValueError as error:
        normalised = "more than 1 value per channel" in str(error)  # batch normalisation's words
        if normalised and len(batch[0]) == 1:
            raise ValueError(
                f"batch_size: {batch_size} leaves a last batch of one example, which batch normalisation "
                "cannot normalise; choose another"
            ) from error
        raise
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"loss: gives a {type(value).__name__}; a tensor is needed, for its gradient")
    if value.ndim != 0:
        raise ValueError(f"loss: gives shape {tuple(value.shape)}; one number is needed, such as its mean")
    return value


def _check_shared_out(model: nn.Module, n: int, batch_size: int, size: int) -> None:
    """Refuse what several processes would train otherwise than one."""
    if (least := min(batch_size, n % batch_size or n)) < size:
        raise ValueError(
            f"batch_size: {batch_size} makes of {n} examples a batch of {least}, for {size} processes; each needs one at least"
        )
    own = nn.modules.batchnorm._BatchNorm
    for name, module in model.named_modules():
        if isinstance(module, own) and not isinstance(module, GroupBatchNorm | nn.SyncBatchNorm):
            raise ValueError(
                f"model: {name} is a {type(module).__name__}, whose statistics are of one process alone; take GroupBatchNorm, "
                "or on GPUs torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)"
            )


def _begin_alike(model: nn.Module, epochs: int) -> None:
    """Give all processes the weights of the first; they must have read the same checkpoint."""
    seen = [None] * distributed.get_world_size()
    distributed.all_gather_object(seen, epochs)
    if len(set(seen)) > 1:
        raise ValueError(
            f"checkpoint: processes find {seen} epochs in it; name a file in a folder that all of them share"
        )
    for t in model.state_dict().values():
        distributed.broadcast(t, 0)
