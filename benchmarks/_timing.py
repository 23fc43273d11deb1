"""How all benchmarks are timed, and where the result is kept.

All contestants take turns in one run, so that a busy machine slows them alike; what is reported are ratios of neighbouring
times, other ÷ ours (above 1: ours is faster), as median and quartiles. The result is stored beside the script, with the
machine on which it was measured.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
from runner import machine, versions


def in_turns(title, calls, rounds):
    """Time every call in every round; return the median for "ours" in ms, and quartiles of other ÷ ours, round by round."""
    times = {name: [] for name in calls}
    for turn in range(rounds + 5):
        names = list(calls)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:  # nobody is always the first
            start = time.perf_counter()
            calls[name]()
            if turn >= 5:  # the first rounds warm up
                times[name].append(time.perf_counter() - start)
    ours, quartiles = times.pop("ours"), {}
    for other, took in times.items():
        quotients = [a / b for a, b in zip(took, ours, strict=True)]
        quartiles[other] = [round(q, 3) for q in statistics.quantiles(quotients, n=4)]
        low, middle, high = quartiles[other]
        print(f"{title}: {other} ÷ ours {middle:.2f} ({low:.2f} to {high:.2f})")
    return 1000 * statistics.median(ours), quartiles


def store(path, peer, results):
    """Write results as JSON, after where and with what they were measured."""
    report = {"machine": machine(), "versions": versions(torch, peer)} | results
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def seconds(call):
    """How long one call takes, once."""
    start = time.perf_counter()
    call()
    return round(time.perf_counter() - start, 2)
