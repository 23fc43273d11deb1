"""How long does a step of training take on volumes, beside that of group convolutions for the turns of a cube?

Run by ``make bench``, timed as ``_timing.py`` says: contestants take turns, and what is reported are ratios of neighbouring times,
other ÷ ours, as median and quartiles. They are networks of ``experiments/volumes.py``, ours the one for O; all have as many parameters,
up to 5 %. A step is forward, backward and Adam's, of 16 volumes of 16 × 16 × 16 voxels.
"""

from functools import partial
from pathlib import Path

import torch
from _timing import in_turns, store
from volumes import BATCH, SIDE, made

from gdl_utils.training import cross_entropy

ROUNDS, THREADS = 20, 1
ARMS = {"ours": "O", "CNN": "CNN", "averaged over O": "averaged", "Oh": "Oh"}


def step(model, optimiser, volumes, labels):
    optimiser.zero_grad()
    cross_entropy(model, volumes, labels).backward()
    optimiser.step()


def main(out):
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    batch = torch.randn(BATCH, 1, SIDE, SIDE, SIDE), torch.randint(2, (BATCH,))
    models = {name: made("nodules", arm).train() for name, arm in ARMS.items()}
    calls = {
        name: partial(step, model, torch.optim.Adam(model.parameters()), *batch)
        for name, model in models.items()
    }
    ms, quartiles = in_turns("a step", calls, ROUNDS)
    torch.set_num_threads(before)
    settings = {"batch": BATCH, "side": SIDE, "threads": THREADS, "rounds": ROUNDS}
    settings |= {"quantiles": "lower quartile, median, upper quartile"}
    store(out, torch, settings | {"results": [{"ours_ms": round(ms, 1), "other ÷ ours": quartiles}]})


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".json"))
