"""Execute the book's notebooks and keep them normalised: what is committed is what ran, byte for byte.

python _ext/notebooks.py execute book/*.ipynb    run each one, then replace it, or leave it untouched; of those that are
                                                 in the table of contents, write time and memory into book/running.md
python _ext/notebooks.py check book/*.ipynb      name those that are not normalised; exit 1 if there are any
"""

import base64
import io
import os
import platform
import re
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import nbformat
import yaml
from nbstripout import strip_output
from PIL import Image

ROOT = Path(__file__).parents[1]
RUNNING = ROOT / "book" / "running.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
ROW = re.compile(r"\| \[.*\]\((\w+)\.ipynb\) \| (\d+) s \| (\d+) MiB \|")
TIMEOUT = 120  # seconds for one cell
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
# What differs from machine to machine, or from run to run, and tells a reader nothing.
MACHINE_KEYS = [
    *("metadata.language_info", "metadata.widgets", "metadata.signature"),
    *(
        "cell.metadata.execution",
        "cell.metadata.ExecuteTime",
        "cell.metadata.collapsed",
        "cell.metadata.scrolled",
    ),
]


def normalise(notebook):
    """Keep sources, outputs, counts and ids; drop what the machine added, and the outputs of live cells."""
    notebook = strip_output(
        notebook, keep_output=True, keep_count=True, keep_id=True, extra_keys=MACHINE_KEYS
    )
    notebook.metadata.kernelspec = nbformat.from_dict(KERNEL)
    for cell in notebook.cells:
        if "remove-output" in cell.metadata.get("tags", []) and cell.cell_type == "code":
            cell.outputs = []  # its count stays: nbval takes a cell without one for a cell that never ran
    return notebook


def serialise(notebook):
    return nbformat.writes(normalise(notebook), version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def shrink_figures(notebook):
    """Store each figure with a palette of 256 colours, which line drawings do not exceed by much: a third of the weight."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            if png is not None:
                smaller, figure = io.BytesIO(), Image.open(io.BytesIO(base64.b64decode(png)))
                figure.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
                    smaller, "png", optimize=True
                )
                output.data["image/png"] = base64.b64encode(smaller.getvalue()).decode()


def client_for(notebook, path, **settings):
    """What runs a notebook's cells, in its own folder."""
    from nbclient import NotebookClient

    # A progress bar belongs into a live notebook, never into a committed output.
    os.environ["TQDM_DISABLE"] = "1"
    return NotebookClient(
        notebook, kernel_name="python3", record_timing=False, coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}}, **{"timeout": TIMEOUT} | settings,
    )  # fmt: skip


def execute(path):
    """Run one notebook in its own folder and replace it. Returns a line to print, and seconds and MiB if all went well."""
    import resource

    notebook, at, start = nbformat.read(path, as_version=4), [0], time.perf_counter()
    client = client_for(notebook, path, on_cell_start=lambda cell, cell_index: at.__setitem__(0, cell_index))
    try:
        client.execute()
        nbformat.validate(notebook)
        shrink_figures(notebook)
    except Exception as error:  # noqa: BLE001  # a cell that raised, one that ran too long, a kernel that died
        return (
            f"{path}: cell {at[0]} failed, the notebook is left as it was\n{type(error).__name__}: {error}",
            None,
        )
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        unfinished.write_text(serialise(notebook), encoding="utf-8", newline="\n")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    # The kernel is this process's only child, so the children's peak is the notebook's. macOS counts bytes, Linux KiB.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )
    seconds = time.perf_counter() - start
    return f"{path}: {seconds:.1f} s, {peak:.0f} MiB", (seconds, peak)


def listed():
    """The notebooks of the table of contents, in its order."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [ROOT / f"{entry['file']}.ipynb" for part in toc["parts"] for entry in part["chapters"]]
    return [file for file in files if file.exists()]


def rows_of(page):
    """``{name: (seconds, MiB)}`` as the page has it."""
    return {name: (int(seconds), int(peak)) for name, seconds, peak in ROW.findall(page)}


def with_rows(page, measured):
    """The page with its table renewed: what was measured now, and what it had for the other notebooks."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    rows = rows_of(page) | {name: (round(s), round(peak)) for name, (s, peak) in measured.items()}
    lines = ["| notebook | time | memory |", "|---|---:|---:|"]
    total = 0
    for file in listed():
        if file.stem in rows:
            title = nbformat.read(file, as_version=4).cells[0].source.splitlines()[0]
            seconds, peak = rows[file.stem]
            total += seconds
            lines.append(
                f"| [{title.removeprefix('# ').partition(':')[0]}]({file.name}) | {seconds} s | {peak} MiB |"
            )
    lines += [
        f"| all | {total} s | |",
        "",
        f"Measured with Python {platform.python_version()} on {os.cpu_count()} cores.",
    ]
    return before + BEGIN + "\n".join(lines) + "\n" + END + after


def is_normalised(path):
    text = path.read_bytes().decode("utf-8")
    return text == serialise(nbformat.reads(text, as_version=nbformat.NO_CONVERT))


def main(command=None, *paths):
    paths = [Path(path) for path in paths]
    if command == "execute" and paths:
        measured, ours = {}, {file.resolve() for file in listed()}
        # A fresh process each, so that the peak of memory is its own.
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            for path, (line, found) in zip(paths, pool.imap(execute, paths), strict=True):
                print(line, flush=True)
                measured[path] = found
        if known := {
            path.stem: found for path, found in measured.items() if found and path.resolve() in ours
        }:
            page = RUNNING.read_text(encoding="utf-8")
            RUNNING.write_text(with_rows(page, known), encoding="utf-8", newline="\n")
        return 0 if all(measured.values()) else 1
    if command == "check" and paths:
        bad = [path for path in paths if not is_normalised(path)]
        for path in bad:
            print(f"{path}: not normalised, run: python _ext/notebooks.py execute {path}")
        return 1 if bad else 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
