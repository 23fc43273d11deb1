"""What all experiments share: arguments, records that survive an interruption, runs shared out to processes, what the machine is.

With ``--workers 4`` four processes of this machine take one run each; with ``--dask tcp://…`` the workers of a Dask cluster do, which
see the same files, and find the scripts in this folder (``PYTHONPATH=experiments``). Only this process writes results, in the order of
the plan, so that they are the same whoever ran them. A run whose process was killed is done again, from its last epoch.

Under ``torchrun`` it is the other way round: all processes do each run together, each with its share of every batch.
"""

import argparse
import json
import multiprocessing
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from gdl_utils.training import fit

WAYS = ("bfloat16", "compile")  # of training, by which numbers differ: a file holds what was trained in one
GIVE_UP = 3  # processes that die in a row, with no run that ends between


def arguments(description: str, out: Path | None = None) -> argparse.ArgumentParser:
    """Return what each experiment understands."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="stop after this time; a later call goes on"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes, each with a run of its own")
    parser.add_argument("--dask", metavar="tcp://…", help="the scheduler of a cluster that takes the runs")
    parser.add_argument("--bfloat16", action="store_true", help="train in mixed precision, by autocast")
    parser.add_argument("--compile", metavar="BACKEND", nargs="?", const="inductor", help="by torch.compile")
    parser.add_argument("--out", type=Path, default=out, help="where the results are, or will be")
    return parser


class Results:
    """The records of an experiment in a JSON file, replaced as a whole after each: kill the script when you like."""

    def __init__(self, path: Path, settings: dict):
        self.path, self.settings, self.started = path, settings, time.time()
        self.before, self.records, self.plan = 0, [], []
        self.way = {}
        self.first = os.environ.get("RANK", "0") == "0"  # of the processes of torchrun
        if path.exists():
            try:
                old = json.loads(path.read_text(encoding="utf-8"))
                theirs, self.before, self.records = old["settings"], old["duration_s"], old["records"]
                self.way = {key: theirs.pop(key) for key in WAYS if key in theirs}
            except (ValueError, KeyError, TypeError) as error:
                raise SystemExit(
                    f"{path} holds no results of an experiment; move it away or give another --out"
                ) from error
            if theirs != settings:
                raise SystemExit(
                    f"{path} was made with {theirs}, not {settings}; move it away or give another --out"
                )

    def trained(self, way: dict) -> None:
        """Refuse to add to a file what was trained in another way."""
        if self.records and way != self.way:
            raise SystemExit(f"{self.path} was made with {self.way}, not {way}; give another --out")
        self.way = way

    def has(self, values: dict) -> bool:
        return any(values.items() <= record.items() for record in self.records)

    def add(self, record: dict) -> None:
        if self.path.exists():  # another call may have added to it
            known = set(map(json.dumps, self.records))
            theirs = json.loads(self.path.read_text(encoding="utf-8"))["records"]
            self.records += [record for record in theirs if json.dumps(record) not in known]
        self.records.append(json.loads(json.dumps(record)))
        place = lambda record: next(
            (k for k, values in enumerate(self.plan) if values.items() <= record.items()), -1
        )
        self.records.sort(key=place)  # those that are not in the plan come first, as they were
        if not self.first:
            return
        duration = round(self.before + time.time() - self.started, 1)
        settings = self.settings | self.way
        content = head() | {"duration_s": duration, "settings": settings, "records": self.records}
        beside = self.path.with_name(self.path.name + ".tmp")
        beside.write_text(one_line_a_record(content), encoding="utf-8")
        os.replace(beside, self.path)


class OutOfTime(Exception):
    pass


def run_all(results: Results, runs: list[dict], run: Callable, *, how: argparse.Namespace, **options) -> bool:
    """Call ``run(train, **values)`` for each of the runs that has no record yet, and record what it returns.

    ``train`` is ``fit`` with these options, which saves each epoch in a folder .cache beside the results, goes on from there, and
    gives the seconds of training too: those of the processor, which other work on the machine does not lengthen. ``how`` has ``minutes``,
    ``workers`` and ``dask``, as of ``arguments``. Returns whether all is done before the results are so many minutes old.
    """
    if how.workers < 1:
        raise SystemExit(f"--workers: got {how.workers}; give 1 or more")
    if "TORCHELASTIC_RUN_ID" in os.environ:  # by torchrun
        if how.workers > 1 or how.dask or how.minutes < float("inf"):
            raise SystemExit("--workers, --dask, --minutes: not under torchrun, where all do the same run")
        if not distributed.is_initialized():
            distributed.init_process_group()
    options |= (way := {key: value for key in WAYS if (value := getattr(how, key))})
    results.trained(way)
    results.plan += [values for values in runs if values not in results.plan]
    deadline = results.started + 60 * how.minutes
    path = lambda name: (results.path.parent / ".cache" / f"{name}.pt").resolve()
    jobs = {"_".join(map(str, [results.path.stem, *v.values()])).replace(" ", "-"): v for v in runs}
    for name, values in jobs.items():
        if results.has(values):
            path(name).unlink(missing_ok=True)
    left = {name: values for name, values in jobs.items() if not results.has(values)}
    job = lambda name: (run, left[name], name, path(name), deadline, options)
    ended = in_turn(left, job) if how.workers == 1 and not how.dask else shared_out(left, job, how)
    for name, record in ended:
        if record is not None:
            results.add(left.pop(name) | record)
            path(name).unlink(missing_ok=True)
    return not left


def one_run(
    run: Callable, values: dict, name: str, checkpoint: Path, deadline: float, options: dict
) -> dict | None:
    """Return what a run returns, or None if the time is over."""
    train = partial(timed_fit, name=name, deadline=deadline, checkpoint=checkpoint, **options)
    try:
        return run(train, **values)
    except OutOfTime:
        print(f"{name}: out of time")
        return None


def in_turn(names: dict, job: Callable) -> Iterator[tuple[str, dict | None]]:
    """Do one after another, until the time is over."""
    for name in list(names):
        record = one_run(*job(name))
        yield name, record
        if record is None:
            return


def shared_out(names: dict, job: Callable, how: argparse.Namespace) -> Iterator[tuple[str, dict | None]]:
    """Do as many at once as there are workers; what a dead one was at is begun again."""
    waiting, dead = set(names), 0
    while waiting:
        with executor(how) as pool:
            futures = {pool.submit(one_run, *job(name)): name for name in names if name in waiting}
            try:
                for future in as_completed(futures):
                    with suppress(BrokenProcessPool):
                        record, dead = future.result(), 0
                        waiting.discard(futures[future])
                        yield futures[future], record
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if waiting and (dead := dead + 1) == GIVE_UP:
            raise SystemExit(
                f"{GIVE_UP} processes died, and no run ended; is there memory for {how.workers}?"
            )


@contextmanager
def executor(how: argparse.Namespace) -> Iterator[Executor]:
    """Processes of this machine, which share its cores, or a cluster's workers."""
    if how.dask:
        from distributed import Client  # the extra "cluster"

        with Client(how.dask) as client:
            yield client.get_executor(retries=GIVE_UP)
        return
    theirs = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // how.workers)), "TQDM_DISABLE": "1"}
    before = {key: os.environ.get(key) for key in theirs}
    os.environ.update(theirs)  # read when a process starts
    try:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(how.workers, spawn, initializer=end_with_parent) as pool:
            yield pool
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})


def end_with_parent() -> None:
    """Let this process end when its parent is killed, so that it does not train on beside the next."""
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def timed_fit(
    model,
    loss,
    tensors,
    *,
    name: str,
    deadline: float,
    bfloat16: bool = False,
    compile: str | None = None,
    **options,
) -> tuple[list, float | None]:
    seen = 0

    def timed_loss(model, *batch):
        nonlocal seen
        if time.time() > deadline:
            raise OutOfTime
        seen += 1
        with torch.autocast(batch[0].device.type, torch.bfloat16, enabled=bfloat16):
            return loss(model, *batch)

    if compile:
        model.compile(backend=compile)
    start = time.process_time()
    history = fit(model, timed_loss, tensors, **options)
    seconds, all_of_them = time.process_time() - start, len(history)
    # Epochs that this process trained: it knows the time of no others.
    here = seen // -(-len(tensors[0]) // options.get("batch_size", 50))
    if os.environ.get("RANK", "0") == "0":
        print(f"{name}: trained epochs {all_of_them - here + 1} to {all_of_them}", flush=True)
    return history, round(seconds * all_of_them / here, 2) if here else None


def keep(weights: dict, path: Path) -> None:
    """Save a state dict; of the processes of torchrun the first one does."""
    if os.environ.get("RANK", "0") == "0":
        path.parent.mkdir(exist_ok=True)
        torch.save(weights, path)


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
