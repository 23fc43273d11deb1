"""What does training cost, and does it take half as long with two processes, or two workers?

Run by ``make bench``; contestants take turns, as ``_timing.py`` says. Three questions, each in one run:

"networks": a plain network and group convolutions for C4, on pictures of 28 × 28, at three widths. How many floating-point operations
does a step take for one example, forward and backward (counted by torch, a multiplication and an addition being two); how many bytes
does it keep for the backward pass; and how many operations a second does one core do?

"together": one training, by one process with one thread, by one with two, and by two processes with one each (``torchrun``, gloo), which
share out each batch. Seconds of an epoch, without what it takes to start.

"sweep": the short trainings of ``experiments/four_parts.py`` one after another, and by two workers: all of it, start included.

"predicted": what the largest network would take by the operations that the second-largest does in a second, beside what it took.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from _timing import in_turns, store
from torch import distributed, nn
from torch.utils.flop_counter import FlopCounterMode

from gdl_utils.domains import square_grid
from gdl_utils.groups import cyclic
from gdl_utils.layers import GlobalPool, GroupBatchNorm, GroupConv, GroupPool, LiftingConv
from gdl_utils.training import cross_entropy, fit

ROUNDS, EXAMPLES, BATCHES, WIDTHS, SIZE, SEEDS = 5, 1024, (64, 512), (1, 2, 4), 28, 2
CHANNELS = {"plain": 16, "C4": 8}  # at width 1: about as many parameters


def network(group: str, width: int) -> nn.Module:
    """Three convolutions, each normalised; every second place is kept after the first two."""
    kernel = square_grid(3, cyclic(4 if group == "C4" else 1))
    c = width * CHANNELS[group]
    layers = [LiftingConv(kernel, 1, c, padding=1, bias=False)]
    layers += [GroupConv(kernel, c, c, padding=1, bias=False) for _ in range(2)]
    parts = [part for layer in layers for part in (layer, GroupBatchNorm(c), nn.ReLU())]
    return nn.Sequential(*parts, GroupPool(), GlobalPool(2), nn.Linear(c, 10))


def data(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return torch.randn(n, 1, SIZE, SIZE, generator=random), torch.randint(10, (n,), generator=random)


def step(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    model.zero_grad(set_to_none=True)
    cross_entropy(model, x, y).backward()


def bytes_of(model: nn.Module) -> dict:
    """Bytes that are kept for each example, and those that are kept whatever the batch, such as expanded filters."""
    few, many = (bytes_kept(model, *data(n)) for n in (16, 48))
    each = (many - few) // 32
    return {"bytes": each, "fixed bytes": few - 16 * each}


def bytes_kept(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> int:
    """How much the forward pass keeps for the backward pass, each piece of memory once, weights left out."""
    kept, weights = {}, {p.untyped_storage().data_ptr() for p in model.parameters()}

    def pack(t):
        memory = t.untyped_storage()
        if memory.data_ptr() not in weights:
            kept[memory.data_ptr()] = memory.nbytes(), t  # held, so that its place is not used again
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = cross_entropy(model, x, y)
    del loss
    return sum(size for size, _ in kept.values())


def networks() -> list[dict]:
    """Operations, bytes and speed of each network, on one core."""
    rows, (x, y) = [], data(32)
    for width in WIDTHS:
        models = {group: network(group, width) for group in CHANNELS}
        calls = {
            "ours" if group == "C4" else group: partial(step, model, x, y) for group, model in models.items()
        }
        ms, quartiles = in_turns(f"width {width}", calls, ROUNDS)
        took = {"C4": ms / 1000, "plain": ms / 1000 * quartiles["plain"][1]}
        for group, model in models.items():
            with FlopCounterMode(display=False) as counter:
                step(model, x, y)
            rows.append(
                {
                    "group": group,
                    "width": width,
                    "parameters": sum(p.numel() for p in model.parameters()),
                    "operations": counter.get_total_flops() // len(x),
                    **bytes_of(model),
                    "seconds": took[group] / len(x),
                }
            )
    return rows


def predicted(rows: list[dict]) -> dict:
    """The largest network's seconds, by the speed of the one before it."""
    before, last = [row for row in rows if row["group"] == "C4"][-2:]
    seconds = last["operations"] * before["seconds"] / before["operations"]
    return {"width": last["width"], "seconds": seconds, "measured": last["seconds"]}


def epoch(batch: int) -> float:
    """Seconds of an epoch, the second of two."""
    ends = []
    note = lambda model, loss: ends.append(time.perf_counter())
    torch.manual_seed(0)
    fit(network("C4", 1), cross_entropy, data(EXAMPLES), epochs=2, batch_size=batch, each_epoch=note)
    return ends[1] - ends[0]


def together(batch: int) -> dict:
    """Seconds of an epoch by one process and by two."""
    seconds = {"1 process": [], "1 process, 2 threads": [], "2 processes": []}
    for _ in range(ROUNDS):
        for name in seconds:
            torch.set_num_threads(2 if "threads" in name else 1)
            seconds[name].append(by_two(batch) if name == "2 processes" else epoch(batch))
    torch.set_num_threads(1)
    return {name: round(statistics.median(took), 3) for name, took in seconds.items()}


def by_two(batch: int) -> float:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    said = subprocess.run(
        [*command, __file__, "--batch", str(batch)], check=True, capture_output=True, text=True
    ).stdout
    return float(said.split()[-1])


def sweep() -> dict:
    """Seconds of an experiment whose runs do not wait for each other, by one and by two workers, everything included."""
    took, script = {}, Path(__file__).parents[1] / "experiments" / "four_parts.py"
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "out.json")
            start = time.perf_counter()
            options = ["--workers", str(workers), "--seeds", str(SEEDS), "--out", str(out)]
            subprocess.run([sys.executable, str(script), *options], check=True, capture_output=True)
            took[f"{workers} workers"] = round(time.perf_counter() - start, 1)
            took["runs"] = len(json.loads(out.read_text(encoding="utf-8"))["records"])
    return took


def main(out: Path) -> None:
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}  # of the processes that are started here
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = networks()
    results = {"networks": rows, "predicted": predicted(rows)}
    results["together"] = [{"batch": batch} | together(batch) for batch in BATCHES]
    results["sweep"] = sweep()
    torch.set_num_threads(threads)
    store(out, torch, {"examples": EXAMPLES, "rounds": ROUNDS} | results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, help="only one process's part of a training")
    args = parser.parse_args()
    if args.batch:
        torch.set_num_threads(1)
        distributed.init_process_group("gloo")
        took = epoch(args.batch)
        if distributed.get_rank() == 0:
            print(took)
    else:
        main(Path(__file__).with_suffix(".json"))
