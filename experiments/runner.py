"""What all experiments share: records that survive an interruption, and a description of the machine."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch

from gdl_utils.training import fit


class Results:
    """The records of an experiment in a JSON file, replaced as a whole after each: kill the script when you like."""

    def __init__(self, path: Path, settings: dict):
        self.path, self.settings, self.started = path, settings, time.monotonic()
        self.before, self.records = 0, []
        if path.exists():
            try:
                old = json.loads(path.read_text(encoding="utf-8"))
                theirs, self.before, self.records = old["settings"], old["duration_s"], old["records"]
            except (ValueError, KeyError, TypeError) as error:
                raise SystemExit(
                    f"{path} holds no results of an experiment; move it away or give another --out"
                ) from error
            if theirs != settings:
                raise SystemExit(
                    f"{path} was made with {theirs}, not {settings}; move it away or give another --out"
                )

    def has(self, values: dict) -> bool:
        return any(values.items() <= record.items() for record in self.records)

    def add(self, record: dict) -> None:
        self.records.append(record)
        duration = round(self.before + time.monotonic() - self.started, 1)
        content = head() | {"duration_s": duration, "settings": self.settings, "records": self.records}
        beside = self.path.with_name(self.path.name + ".tmp")
        beside.write_text(one_line_a_record(content), encoding="utf-8")
        os.replace(beside, self.path)


class OutOfTime(Exception):
    pass


def run_all(results: Results, runs: list[dict], run: Callable, *, minutes: float, **options) -> bool:
    """Call ``run(train, **values)`` for each of the runs that has no record yet, and record what it returns.

    ``train`` is ``fit`` with these options, which saves each epoch in a folder .cache beside the results, goes on from there, and
    gives the seconds of training too: those of the processor, which other work on the machine does not lengthen. Returns whether all
    is done before the results are ``minutes`` old.
    """
    deadline = results.started + 60 * minutes
    for values in runs:
        name = "_".join(map(str, [results.path.stem, *values.values()])).replace(" ", "-")
        checkpoint = results.path.parent / ".cache" / f"{name}.pt"
        if not results.has(values):
            train = partial(timed_fit, name=name, deadline=deadline, checkpoint=checkpoint, **options)
            try:
                results.add(values | run(train, **values))
            except OutOfTime:
                print(f"{name}: out of time")
                return False
        checkpoint.unlink(missing_ok=True)
    return True


def timed_fit(model, loss, tensors, *, name: str, deadline: float, **options) -> tuple[list, float | None]:
    seen = 0

    def timed_loss(model, *batch):
        nonlocal seen
        if time.monotonic() > deadline:
            raise OutOfTime
        seen += len(batch[0])
        return loss(model, *batch)

    start = time.process_time()
    history = fit(model, timed_loss, tensors, **options)
    seconds, all_of_them = time.process_time() - start, len(history)
    here = seen // len(tensors[0])  # epochs that this process trained: it knows the time of no others
    print(f"{name}: trained epochs {all_of_them - here + 1} to {all_of_them}", flush=True)
    return history, round(seconds * all_of_them / here, 2) if here else None


def rounded(x: float) -> float:
    return float(f"{x:.3g}")


def head() -> dict:
    """When, where and with what a result was made."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(["python", f"experiments/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "machine": machine(),
        "versions": versions(torch, np),
    }


def machine() -> dict:
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
    }


def versions(*modules) -> dict:
    return {"python": platform.python_version()} | {module.__name__: module.__version__ for module in modules}


def processor() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def one_line_a_record(content: dict) -> str:
    """JSON with the head indented and each record on a line of its own, so that a difference can be read."""
    lines = [json.dumps(record, ensure_ascii=False) for record in content["records"]]
    text = json.dumps(content | {"records": []}, indent=2, ensure_ascii=False)
    return text.replace('"records": []', '"records": [\n    ' + ",\n    ".join(lines) + "\n  ]") + "\n"
