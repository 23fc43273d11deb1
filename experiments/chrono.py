"""What makes a memory last: slow forgetting, slow intake, or a spread of both? LSTMs that recall a symbol after 60 blank steps.

The task has four inputs only, one for each symbol, and all four are in each batch: nothing is left to chance but the start, and
what is measured is whether training gets there. All starts have the same weights for the same seed; two rows of biases differ.
Each start's learning rate is chosen on seeds 0 to 2, by how many it solves; then ten further seeds are trained with it, once
for the true length of the silence and, for the starts that are slow on both sides, once more for ten times of it.

    python experiments/chrono.py
"""

import argparse
import math
from pathlib import Path

import torch
from runner import Results, rounded, run_all
from torch import nn

BLANK, UNITS, EPOCHS, STEPS = 60, 16, 20, 20  # steps of an epoch
RATES = (0.003, 0.01, 0.03, 0.1)
SOLVED = (
    0.1  # a loss below this; guessing costs log 4 = 1.386, two symbols taken for each other half of log 2
)
CHOICE, SEEDS = range(3), range(10, 20)
STARTS = ("forget 1", "forget 1, slow intake", "long", "long, slow intake", "spread", "chrono")
TOO_LONG = 10 * BLANK


def biases(start: str, longest: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the input and the forget gate, before training."""
    zero, long = torch.zeros(UNITS), torch.full((UNITS,), math.log(longest))
    spread = torch.log(1 + (longest - 2) * torch.rand(UNITS))
    return {
        "forget 1": (zero, zero + 1),
        "forget 1, slow intake": (-long, zero + 1),
        "long": (zero, long),
        "long, slow intake": (-long, long),
        "spread": (zero, spread),
        "chrono": (-spread, spread),
    }[start]


class Recaller(nn.Module):
    """An LSTM that names a symbol at the end."""

    def __init__(self, start: str, longest: float = BLANK):
        super().__init__()
        self.memory, self.name = nn.LSTM(6, UNITS, batch_first=True), nn.Linear(UNITS, 4)
        intake, forget = biases(start, longest)
        with torch.no_grad():
            self.memory.bias_hh_l0.zero_()
            self.memory.bias_ih_l0.zero_()
            self.memory.bias_ih_l0[:UNITS] = intake
            self.memory.bias_ih_l0[UNITS : 2 * UNITS] = forget

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.name(self.memory(x)[0][:, -1])


def symbols(blank: int = BLANK) -> tuple[torch.Tensor, torch.Tensor]:
    """Each of four symbols, blank steps, a cue: (4, blank + 2, 6), and which symbol it is."""
    x = torch.zeros(4, blank + 2, 6)
    x[torch.arange(4), 0, torch.arange(4)] = 1
    x[:, 1:-1, 4], x[:, -1, 5] = 1, 1
    return x, torch.arange(4)


def run(train, start: str, rate: float, longest: float, seed: int) -> dict:
    torch.manual_seed(seed)
    model, (x, y) = Recaller(start, longest), symbols()
    batches = (
        x.expand(STEPS, *x.shape),
        y.expand(STEPS, *y.shape),
    )  # each "example" is a batch of all there is

    def loss(model, x, y):
        return nn.functional.cross_entropy(model(x[0]), y[0])

    history, seconds = train(model, loss, batches, epochs=EPOCHS, seed=seed, learning_rate=rate)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": seconds,
        "loss": rounded(history[-1]),
        "losses": [rounded(loss) for loss in history],
    }


def chosen(records: list[dict], start: str) -> float:
    """The rate with which a start solves most of the seeds for choosing; of equals, that with the least mean loss."""

    def merit(rate: float) -> tuple[int, float]:
        losses = [
            r["loss"]
            for r in records
            if (r["start"], r["rate"], r["longest"]) == (start, rate, BLANK) and r["seed"] in CHOICE
        ]
        return sum(loss < SOLVED for loss in losses), -sum(losses)

    return max(RATES, key=merit)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after this time; a later call goes on"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("chrono.json"))
    args = parser.parse_args()
    settings = {"blank": BLANK, "units": UNITS, "steps": EPOCHS * STEPS, "solved": SOLVED}
    results = Results(args.out, settings)
    values = lambda start, rate, longest, seed: {
        "start": start,
        "rate": rate,
        "longest": longest,
        "seed": seed,
    }
    choice = [values(start, rate, BLANK, seed) for start in STARTS for rate in RATES for seed in CHOICE]
    run_all(results, choice, run, minutes=args.minutes, batch_size=1)
    if all(results.has(v) for v in choice):
        rates = {start: chosen(results.records, start) for start in STARTS}
        final = [values(start, rates[start], BLANK, seed) for start in STARTS for seed in SEEDS]
        final += [
            values(start, rates[start], TOO_LONG, seed)
            for start in ("long, slow intake", "chrono")
            for seed in SEEDS
        ]
        run_all(results, final, run, minutes=args.minutes, batch_size=1)


if __name__ == "__main__":
    main()
