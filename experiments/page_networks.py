"""Train the networks that run in the book's pages, and write what a page needs of them: weights, and digits to begin with.

Three networks of the same form and of as many weights, up to 5 %: "plain" and "p4", with quarter-turns built in, see digits as MNIST has them;
"augmented" is the plain one, and sees each digit turned anew, by any angle, whenever it is seen. They learn from 10,000 of MNIST's training images,
with the learning rate of three that reads 2,000 others best, and are tested on 10,000 others, upright and turned by any angle.

Weights are rounded to 16 bits, those of the batch normalisation as the scale and the shift that it amounts to. The tests read them
into torch's layers again, and compare scores with those of the page.

    python experiments/page_networks.py
"""

import argparse
import base64
from itertools import pairwise
from pathlib import Path

import any_angle
import numpy as np
import torch
from error_against_time import turned_anew
from runner import Results

from gdl_utils.blueprint import Blueprint
from gdl_utils.data import mnist, rotate
from gdl_utils.domains import square_grid
from gdl_utils.groups import cyclic
from gdl_utils.training import accuracy, cross_entropy, fit

SIZE, CLASSES, KERNEL = 28, 10, 5  # of any_angle's network
WIDTHS = {"plain": (8, 14, 16), "augmented": (8, 14, 16), "p4": (5, 6, 10)}
SPLIT = (10_000, 2_000, 10_000)
RATES, EPOCHS, SEED = (0.003, 0.01, 0.03), 8, 0


def network(order: int, widths: tuple[int, ...]) -> Blueprint:
    """The network of ``any_angle`` with three convolutions, 28 → 14 → 7 → 3 pixels."""
    return any_angle.network(lambda n: square_grid(n, cyclic(order)), widths)


def numbers(model: Blueprint) -> list[torch.Tensor]:
    """The weights in the order in which a page reads them."""
    found = []
    for conv, norm in (part for name, part in model.named_children() if name.startswith("equivariant")):
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        found += [conv.weight, scale, norm.bias - norm.running_mean * scale]
    return [*found, model[-1].weight, model[-1].bias]


def written(model: Blueprint, order: int, widths: tuple[int, ...]) -> dict:
    """A network as a page reads it."""
    flat = torch.cat([part.detach().flatten() for part in numbers(model)]).half().numpy()
    layers = [
        {"channels": i, "out": o, "kernel": KERNEL, "padding": 2 * (k < 2), "pool": k < 2}
        for k, (i, o) in enumerate(pairwise((1, *widths)))
    ]
    weights = base64.b64encode(flat.astype("<f2").tobytes()).decode()
    return {"order": order, "size": SIZE, "classes": CLASSES, "layers": layers, "weights": weights}


def read(spec: dict) -> Blueprint:
    """The torch network that a page's weights are those of."""
    model = network(spec["order"], tuple(layer["out"] for layer in spec["layers"])).eval()
    flat = torch.from_numpy(np.frombuffer(base64.b64decode(spec["weights"]), "<f2").astype(np.float32))
    parts = flat.split([part.numel() for part in numbers(model)])
    taken = iter(zip(parts, numbers(model), strict=True))
    for conv, norm in (part for name, part in model.named_children() if name.startswith("equivariant")):
        (weights, like), (scale, _), (shift, _) = next(taken), next(taken), next(taken)
        conv.weight.data = weights.view_as(like)
        norm.weight.data, norm.bias.data = scale * (norm.running_var + norm.eps).sqrt(), shift
    (weights, like), (bias, _) = taken
    model[-1].weight.data, model[-1].bias.data = weights.view_as(like), bias.clone()
    return model


def trained(name: str, rate: float, seed: int, x: torch.Tensor, y: torch.Tensor) -> Blueprint:
    torch.manual_seed(seed)
    model = network(4 if name == "p4" else 1, WIDTHS[name])
    turned = lambda model, x, y: cross_entropy(model, turned_anew(x), y)
    loss = turned if name == "augmented" else cross_entropy
    fit(model, loss, (x, y), epochs=EPOCHS, learning_rate=rate, seed=seed)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("page_networks.json"))
    args = parser.parse_args()
    images, labels = mnist()
    random = torch.Generator().manual_seed(SEED)
    rows = torch.randperm(len(images), generator=random)[: sum(SPLIT)].split(SPLIT)
    taught, watched, tested = ((images[some], labels[some]) for some in rows)
    angles = (360 * torch.rand(SPLIT[2], generator=random)).tolist()
    turned = torch.stack([rotate(image, angle) for image, angle in zip(tested[0], angles, strict=True)])
    # The first test image of each digit, a byte for each pixel.
    firsts = [tested[0][tested[1] == digit][0, 0] for digit in range(CLASSES)]
    pixels = [(255 * image).round().byte().numpy().tobytes() for image in firsts]
    settings = {"split": list(SPLIT), "rates": list(RATES), "epochs": EPOCHS}
    results = Results(args.out, settings | {"digits": [base64.b64encode(p).decode() for p in pixels]})
    for name, widths in WIDTHS.items():
        if results.has({"name": name}):
            continue
        rate = max(RATES, key=lambda rate: accuracy(trained(name, rate, SEED + 1, *taught), *watched))
        order = 4 if name == "p4" else 1
        spec = written(trained(name, rate, SEED, *taught), order, widths)
        model = read(spec)
        found = {
            "name": name,
            "seed": SEED,
            "parameters": sum(p.numel() for p in model.parameters()),
            "learning_rate": rate,
            "upright": round(accuracy(model, *tested), 4),
            "any angle": round(accuracy(model, turned, tested[1]), 4),
        }
        print(found, flush=True)
        results.add(found | spec)


if __name__ == "__main__":
    main()
