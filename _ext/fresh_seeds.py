"""Run the book's notebooks with every random seed moved: which checks hold on seeds that nobody chose?

python _ext/fresh_seeds.py                                           all notebooks, with seeds moved by 1000, 2000 and 3000
python _ext/fresh_seeds.py book/priors.ipynb --offsets 500 12345     this one, with seeds moved by 500 and by 12345

It prints which checks fail, and exits with 1 if any does. With three offsets or more it writes into book/fresh_seeds.json on
how many of the moved seeds each claim held: its cell ran, and came to the verdict that the notebook has. The notebooks stay as
they are. Offsets must lie further apart than a chapter's own seeds do, or they share some.
"""

import argparse
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from copy import copy
from itertools import islice, product
from multiprocessing import get_context
from numbers import Integral
from pathlib import Path

import nbformat
from notebooks import ROOT, client_for, listed

from gdl_utils.claims import MIME

RECORD = ROOT / "book" / "fresh_seeds.json"
OFFSETS = [1000, 2000, 3000]
ENOUGH = 3  # offsets, for the record
PROCESSES = 2  # notebooks at a time
TIMEOUT = 600  # seconds for one cell: the machine may be busy
CHECK = re.compile(r"^\s*assert\b|\bcheck_claim\(|\bassert_equivariant\(", re.MULTILINE)
# What a kernel does first.
MOVE = """import sys
sys.path.insert(0, %r)
from fresh_seeds import move_seeds
del sys.path[0], sys
move_seeds(%d)
del move_seeds"""
# What move_seeds cannot move. A test sees to it that neither the notebooks nor the package use it.
UNMOVED = re.compile(
    r"\bdefault_generator\b|\b(SeedSequence|MT19937|PCG64|PCG64DXSM|Philox|SFC64)\b|\.(cuda|mps|xpu)\.manual_seed"
)


def move_seeds(offset, patch=setattr):
    """From now on, whatever sets a seed in this process sets another: that seed plus the offset.

    It changes how Python, NumPy and torch begin their random numbers. Others begin theirs by these: scikit-learn with
    ``random_state=``, NetworkX with ``seed=``.
    """
    import numpy as np
    import torch

    streams = np.random.Generator | np.random.BitGenerator | np.random.SeedSequence | np.random.RandomState

    def moved(seed):
        if seed is None or isinstance(seed, streams):
            return seed  # there is none, or it was moved when the stream began
        if isinstance(seed, list | tuple | np.ndarray):
            return [moved(part) for part in seed]
        if isinstance(seed, Integral):
            return int(seed) + offset
        raise TypeError(f"seed {seed!r}: is not an integer, so it cannot be moved")

    def kin(old):
        """A metaclass for a class in the old one's place: what is an instance of the old one is one of the new one."""

        class Kin(type(old)):
            def __instancecheck__(cls, thing):
                return super().__instancecheck__(thing) or (cls.__base__ is old and isinstance(thing, old))

        return Kin

    class Generator(torch.Generator, metaclass=kin(torch.Generator)):
        def __init__(self, *args, **kwargs):
            super().manual_seed(moved(self.initial_seed()))  # the one that it has before it is given one

        def __reduce__(self):
            return torch.Generator, *super().__reduce__()[1:]

        def clone_state(self):
            return copy(self)

        def manual_seed(self, seed):
            return super().manual_seed(moved(int(seed)))

    class RandomState(np.random.RandomState, metaclass=kin(np.random.RandomState)):
        def __init__(self, seed=None):
            super().__init__(moved(seed))

        def seed(self, seed=None):
            super().seed(moved(seed))

    class Random(random.Random, metaclass=kin(random.Random)):
        def seed(self, a=None, version=2):
            super().seed(moved(a), version)

    for module, new in ((torch, Generator), (np.random, RandomState), (random, Random)):
        new.__module__, new.__qualname__ = module.__name__, new.__name__
        patch(module, new.__name__, new)
    torch_seed, numpy_rng = torch.manual_seed, np.random.default_rng
    numpy_seed, python_seed = np.random.seed, random.seed
    for module in (torch, torch.random):
        patch(module, "manual_seed", lambda seed: torch_seed(moved(int(seed))))
    patch(np.random, "default_rng", lambda seed=None: numpy_rng(moved(seed)))
    patch(np.random, "seed", lambda seed=None: numpy_seed(moved(seed)))
    patch(random, "seed", lambda a=None, version=2: python_seed(moved(a), version))


def runs(cell):
    """Whether a cell has to run; an exercise's starter has to fail."""
    return cell.cell_type == "code" and "raises-exception" not in cell.metadata.get("tags", [])


def verdicts(cell):
    """``{id: verdict}`` of the claims in a cell's outputs."""
    found = (output.get("data", {}).get(MIME) for output in cell.get("outputs", []))
    return {verdict["id"]: verdict for verdict in found if verdict}


def digest(notebook):
    """Changes with the code that has to run, and with a verdict; not with text, nor with other outputs."""
    said = [
        [cell.source, {id: v["verdict"] for id, v in verdicts(cell).items()}]
        for cell in notebook.cells
        if runs(cell)
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def first_line(error):
    """What a cell raised: its message begins so, and without a message the line of code says more."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", error.traceback)
    said = error.evalue.strip().splitlines() or re.findall(r"^-+> \d+ +(.*)$", plain, re.MULTILINE)[-1:]
    return ": ".join([error.ename, *said[:1]])


def play(notebook, path, offset):
    """Run the cells in place with moved seeds, and go on after one that fails. Returns ``{its number: its error}``."""
    from nbclient.exceptions import CellExecutionError

    begin, failed, ended = nbformat.v4.new_code_cell(MOVE % (str(Path(__file__).parent), offset)), {}, False
    whole = nbformat.v4.new_notebook(cells=[begin, *notebook.cells], metadata=notebook.metadata)
    client = client_for(whole, path, timeout=TIMEOUT)
    with client.setup_kernel(stderr=subprocess.DEVNULL):  # it complains when it is shut down
        client.execute_cell(begin, 0, store_history=False)
        for i, cell in enumerate(notebook.cells):
            if not runs(cell):
                continue
            cell.outputs = []
            if ended:
                failed[i] = "did not run"
                continue
            try:
                client.execute_cell(cell, i + 1)
            except CellExecutionError as error:
                failed[i] = first_line(error)
            except (TimeoutError, RuntimeError) as error:  # it took too long, or the kernel died
                failed[i], ended = type(error).__name__, True
    return failed


def compare(notebook, book, failed):
    """``{id: (whether the claim held, whether with the same numbers)}``; a cell with another verdict counts as failed."""
    claims = {}
    for i, (cell, expected) in enumerate(zip(notebook.cells, book, strict=True)):
        found = verdicts(cell) if runs(cell) and i not in failed else {}
        for id in expected | found:
            now, then = (side[id]["verdict"] if id in side else "nothing" for side in (found, expected))
            claims[id] = now == then, found.get(id) == expected.get(id)
            if now != then:
                failed.setdefault(i, f"{id}: {now!r}, where the notebook has {then!r}")
    return claims


def cause(i, notebook, failed):
    """The number of the failed cell that left cell i without a name that it needs, or None."""
    missing = re.match(r"NameError: name '(\w+)' is not defined", failed[i])
    earlier = sorted(j for j in failed if missing and j < i)
    return next((j for j in earlier if re.search(rf"\b{missing[1]}\b", notebook.cells[j].source)), None)


def run(task):
    """Run one notebook with one offset, given as a pair. Returns what was found, and lines to print."""
    path, offset = task
    start, notebook = time.perf_counter(), nbformat.read(path, as_version=4)
    code, book = digest(notebook), [verdicts(cell) for cell in notebook.cells]
    failed = play(notebook, path, offset)
    claims = compare(notebook, book, failed)
    checks = {i: len(CHECK.findall(cell.source)) for i, cell in enumerate(notebook.cells) if runs(cell)}
    number, held = sum(checks.values()), sum(n for i, n in checks.items() if i not in failed)
    lines = [f"{path.stem} + {offset}: {held} of {number} checks hold, {time.perf_counter() - start:.0f} s"]
    for i in sorted(failed):
        follows = "" if (j := cause(i, notebook, failed)) is None else f"follows from cell {j}: "
        lines.append(f"    cell {i} ({notebook.cells[i].id}) {follows}{failed[i]}")
    found = {"digest": code, "claims": claims, "checks": number, "held": held, "failed": len(failed)}
    return found, "\n".join(lines)


def entry(offsets, found):
    """What the record says of a notebook: on how many of the moved seeds each claim held, and with the same numbers."""
    ids = sorted({id for one in found for id in one["claims"]})
    pairs = {id: [one["claims"].get(id, (False, False)) for one in found] for id in ids}
    counts = {
        id: dict(zip(("held", "same"), map(sum, zip(*pairs[id], strict=True)), strict=True)) for id in ids
    }
    return {"digest": found[0]["digest"], "offsets": offsets, "claims": counts}


def read_record():
    return json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}


def recorded(path):
    """What the record says of a notebook, or None if that was another code or another verdict."""
    found = read_record().get(path.stem)
    return found if found and found["digest"] == digest(nbformat.read(path, as_version=4)) else None


def write_record(entries):
    """Renew the lines of these notebooks, one each, in the order of the table of contents."""
    record = read_record() | entries
    lines = [f'"{path.stem}": {json.dumps(record[path.stem])}' for path in listed() if path.stem in record]
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8", newline="\n")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--offsets", nargs="+", type=int, default=OFFSETS)
    args = parser.parse_args(argv)
    paths = args.notebooks or listed()
    if missing := [str(path) for path in paths if not path.exists()]:
        parser.error(f"there is no {', '.join(missing)}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    ours, total = {file.resolve() for file in listed()}, Counter()
    with get_context("spawn").Pool(PROCESSES, maxtasksperchild=1) as pool:
        results = pool.imap(run, product(paths, args.offsets))
        for path in paths:
            all_found = []
            for found, said in islice(results, len(args.offsets)):
                print(said, flush=True)
                all_found.append(found)
                total.update({key: found[key] for key in ("checks", "held", "failed")})
            if path.resolve() in ours and len(args.offsets) >= ENOUGH:
                # At once: a run that is killed keeps what is done.
                write_record({path.stem: entry(args.offsets, all_found)})
    offsets = ", ".join(map(str, args.offsets))
    print(
        f"Seeds moved by {offsets}: {total['held']} of {total['checks']} checks hold, {total['failed']} cells fail."
    )
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
