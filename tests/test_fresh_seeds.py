"""Seeds are moved, all of them and nothing else; what does not hold on moved seeds is said; the record is of this code."""

import json
import pickle
import random
import re
from copy import copy, deepcopy
from pathlib import Path

import fresh_seeds
import gdl_claims
import nbformat
import networkx as nx
import notebooks
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from sklearn.utils import shuffle

from gdl_utils.training import fit

ROOT = Path(__file__).parents[1]
ENOUGH = fresh_seeds.ENOUGH


# Which seeds are moved


def trained(seed):
    """What training gives from one start: the seed decides the order of the examples."""
    x = torch.linspace(-1, 1, 9)[:, None]
    torch.nn.init.ones_((model := torch.nn.Linear(1, 1, bias=False)).weight)
    return fit(model, lambda model, x: model(x).mean(), (x,), epochs=1, batch_size=2, seed=seed)


def global_torch(seed):
    torch.manual_seed(seed)
    return torch.rand(3)


def global_numpy(seed):
    np.random.seed(seed)  # noqa: NPY002
    return np.random.rand(3)  # noqa: NPY002


def global_python(seed):
    random.seed(seed)
    return [random.random() for _ in range(3)]


def seeded_again(seed):
    generator = torch.Generator().manual_seed(99).manual_seed(seed)
    return torch.rand(3, generator=generator)


def state_seeded_again(seed):
    (state := np.random.RandomState(99)).seed(seed)
    return state.rand(3)


def swapped(seed):
    return sorted(nx.double_edge_swap(nx.cycle_graph(30), 20, 1000, seed=seed).edges)


DRAWS = {
    "torch.manual_seed": global_torch,
    "torch.random.manual_seed": lambda seed: torch.random.manual_seed(seed) and torch.rand(3),
    "torch.Generator": lambda seed: torch.rand(3, generator=torch.Generator().manual_seed(seed)),
    "torch.Generator of a device": lambda seed: torch.rand(3, generator=torch.Generator(device="cpu").manual_seed(seed)),
    "a generator, seeded again": seeded_again,
    "a copy, seeded again": lambda seed: torch.rand(3, generator=copy(torch.Generator()).manual_seed(seed)),
    "a clone, seeded again": lambda seed: torch.rand(3, generator=torch.Generator().clone_state().manual_seed(seed)),
    "fit": trained,
    "numpy.random.default_rng": lambda seed: np.random.default_rng(seed).random(3),
    "default_rng of a NumPy integer": lambda seed: np.random.default_rng(seed=np.int64(seed)).random(3),
    "numpy.random.seed": global_numpy,
    "numpy.random.RandomState": lambda seed: np.random.RandomState(seed).rand(3),
    "a state, seeded again": state_seeded_again,
    "random.seed": global_python,
    "random.Random": lambda seed: random.Random(seed).random(),
    "scikit-learn": lambda seed: shuffle(range(30), random_state=seed),
    "NetworkX, through Python's": swapped,
    "NetworkX, through NumPy's": lambda seed: nx.spring_layout(nx.cycle_graph(5), seed=seed)[0],
}  # fmt: skip


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_a_seed_is_moved_by_the_offset(draw, monkeypatch):
    plain, expected = draw(5), draw(1005)
    assert not np.array_equal(plain, expected)
    with monkeypatch.context() as patched:
        fresh_seeds.move_seeds(0, patched.setattr)
        assert np.array_equal(draw(5), plain)
    with monkeypatch.context() as patched:
        fresh_seeds.move_seeds(1000, patched.setattr)
        assert np.array_equal(draw(5), expected)
    assert np.array_equal(draw(5), plain)


@pytest.fixture
def moved(monkeypatch):
    """Seeds moved by 1000, for the time of a test."""
    fresh_seeds.move_seeds(1000, monkeypatch.setattr)


def test_a_stream_without_a_seed_or_with_several_is_moved_too(monkeypatch):
    unseeded, several = torch.Generator().initial_seed(), np.random.default_rng([1005, 1001]).random()
    fresh_seeds.move_seeds(1000, monkeypatch.setattr)
    assert torch.Generator().initial_seed() == unseeded + 1000
    assert torch.Generator().get_state().equal(torch.Generator().manual_seed(unseeded).get_state())
    assert np.random.default_rng([5, 1]).random() == several


def test_a_stream_is_not_moved_twice(moved):
    stream, state = np.random.default_rng(5), np.random.RandomState(5)
    assert np.random.default_rng(stream) is stream
    assert shuffle(range(30), random_state=state) == shuffle(range(30), random_state=5)


@pytest.mark.parametrize(
    "name", ["random.seed", "random.Random", "np.random.RandomState", "np.random.default_rng"]
)
def test_a_seed_that_cannot_be_moved_is_refused(moved, name):
    with pytest.raises(TypeError, match="seed 'seven': is not an integer"):
        eval(name)("seven")


@pytest.mark.parametrize("again", [deepcopy, lambda stream: pickle.loads(pickle.dumps(stream))])
def test_streams_stay_what_they_were(monkeypatch, again):
    old = torch.Generator(), np.random.RandomState(0), random.Random(0)
    fresh_seeds.move_seeds(1000, monkeypatch.setattr)
    classes = torch.Generator, np.random.RandomState, random.Random
    new = torch.Generator("cpu").manual_seed(3), np.random.RandomState(3), random.Random(3)
    for i, cls in enumerate(classes):
        assert [isinstance(stream, cls) for stream in (*old, *new)] == [i == j % 3 for j in range(6)]
        mine = type("Mine", (cls,), {})
        assert isinstance(mine(), mine) and isinstance(mine(), cls) and not isinstance(new[i], mine)
    twins = [again(stream) for stream in new]
    assert all(map(isinstance, twins, classes)) and type(twins[0]) is torch.Generator
    assert torch.rand(3, generator=new[0]).equal(torch.rand(3, generator=twins[0]))
    assert new[1].rand() == twins[1].rand() and new[2].random() == twins[2].random()
    assert isinstance(torch.default_generator, torch.Generator) and new[0].device.type == "cpu"


def unmoved(sources):
    """What begins random numbers in a way that is not moved."""
    return [match[0] for source in sources for match in fresh_seeds.UNMOVED.finditer(source)]


def test_book_and_package_begin_random_numbers_only_so_that_they_can_be_moved():
    paths = [path for path in (ROOT / "book").glob("*.ipynb") if not path.name.startswith(".")]
    cells = [cell for path in paths for cell in nbformat.read(path, as_version=4).cells]
    sources = [cell.source for cell in cells if cell.cell_type == "code"]
    sources += [path.read_text(encoding="utf-8") for path in (ROOT / "gdl_utils").rglob("*.py")]
    assert len(sources) > 100 and unmoved(sources) == []
    planted = [
        "np.random.Generator(np.random.PCG64(0))",
        "torch.cuda.manual_seed(0)",
        "torch.default_generator",
    ]
    assert unmoved(planted) == ["PCG64", ".cuda.manual_seed", "default_generator"]


# What does not hold is said


FIRST = torch.rand(3, generator=torch.Generator().manual_seed(5))[0].item()
CLAIM = "from gdl_utils.claims import check_claim\n" + (
    "check_claim({id!r}, measured={{'m': {measured}}}, control={{'c': {control}}}, at_most=1e-12, condition='so')"
)
CELLS = {
    "draws": "import torch\nx = torch.rand(3, generator=torch.Generator().manual_seed(5))\nx.tolist()",
    "holds always": "assert 0 <= x.min()\nassert x.max() <= 1",
    "starter": "raise NotImplementedError",
    "holds for its seed": f"own = x[0].item() == {FIRST}\nassert own\nlater = 2 * x",
    "needs it": "assert later.min() >= 0",
    "misspelt": "own or nowhere",
    "same numbers": CLAIM.format(id="C03", measured="0", control="1"),
    "other numbers": CLAIM.format(id="C04", measured="0", control="1 + x[0]"),
    "other verdict": CLAIM.format(id="C05", measured="1 - own", control="0 + own"),
    "shows nothing": CLAIM.format(id="C06", measured="0", control="0 + own"),
    "no verdict": CLAIM.format(id="C45", measured="0", control="1") + " if own else None",
    "dies": "import os\nown or os._exit(1)",
    "comes after": CLAIM.format(id="C01", measured="0", control="1"),
}


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A notebook of these cells, with what they gave."""
    path = tmp_path_factory.mktemp("book") / "small.ipynb"
    cells = [new_code_cell(source, id=id.replace(" ", "-")) for id, source in CELLS.items()]
    cells[2].metadata.tags = ["raises-exception"]
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A small book", id="title"), *cells]), path)
    assert "small.ipynb: cell" not in notebooks.execute(path)[0]
    return path


@pytest.fixture
def record(book, tmp_path, monkeypatch):
    monkeypatch.setattr(fresh_seeds, "RECORD", tmp_path / "record.json")
    monkeypatch.setattr(fresh_seeds, "listed", lambda: [book])
    monkeypatch.setattr(fresh_seeds, "ENOUGH", 2)
    return fresh_seeds.RECORD


def test_kernels_draw_from_moved_seeds_whatever_ran_before(book):
    committed = nbformat.read(book, as_version=4)

    def drawn(offset):
        notebook = new_notebook(cells=deepcopy(committed.cells[:3]))
        assert fresh_seeds.play(notebook, book, offset) == {}
        return notebook.cells[1].outputs[0].data["text/plain"]

    outputs = [drawn(offset) for offset in (1000, 0, 1000)]
    fresh = torch.rand(3, generator=torch.Generator().manual_seed(1005)).tolist()
    assert outputs == [repr(fresh), committed.cells[1].outputs[0].data["text/plain"], repr(fresh)]


SAID = """small + 0: 10 of 10 checks hold
small + 1000: 4 of 10 checks hold
    cell 4 (holds-for-its-seed) AssertionError: assert own
    cell 5 (needs-it) follows from cell 4: NameError: name 'later' is not defined
    cell 6 (misspelt) NameError: name 'nowhere' is not defined
    cell 9 (other-verdict) C05: 'fails when so', where the notebook has 'holds if so'
    cell 10 (shows-nothing) AssertionError: C06: nothing is shown.
    cell 11 (no-verdict) C45: 'nothing', where the notebook has 'holds if so'
    cell 12 (dies) DeadKernelError
    cell 13 (comes-after) did not run
Seeds moved by 0, 1000: 14 of 20 checks hold, 8 cells fail.
"""
COUNTS = {"C01": (1, 1), "C03": (2, 2), "C04": (2, 1), "C05": (1, 1), "C06": (1, 1), "C45": (1, 1)}


def test_what_fails_on_moved_seeds_is_said_and_recorded(book, record, capsys):
    before = book.read_bytes()
    assert fresh_seeds.main([str(book), "--offsets", "0", "1000"]) == 1
    said = re.sub(r"(, \d+ s| Measured values .*)$", "", capsys.readouterr().out, flags=re.MULTILINE)
    assert said == SAID
    (name, found), *others = json.loads(record.read_text(encoding="utf-8")).items()
    assert (name, others, found["offsets"]) == ("small", [], [0, 1000])
    assert {id: (count["held"], count["same"]) for id, count in found["claims"].items()} == COUNTS
    assert fresh_seeds.recorded(book) == found and book.read_bytes() == before


def test_what_holds_always_passes_and_a_wrong_name_is_named(book, record, tmp_path, monkeypatch, capsys):
    cells = nbformat.read(book, as_version=4).cells
    nbformat.write(new_notebook(cells=[*cells[:3], cells[7]]), path := tmp_path / "sound.ipynb")
    monkeypatch.setattr(fresh_seeds, "listed", lambda: [path])
    assert fresh_seeds.main(["--offsets", "1000"]) == 0  # all that are listed
    assert "3 of 3 checks hold, 0 cells fail" in capsys.readouterr().out
    assert not record.exists()  # one offset is not enough
    with pytest.raises(SystemExit):
        fresh_seeds.main([str(tmp_path / "sonud.ipynb")])
    assert "there is no " in (said := capsys.readouterr().err) and "sonud.ipynb" in said


# The record is of this book


def record_faults(path):
    """What is wrong with the record of one notebook."""
    found = fresh_seeds.recorded(path)
    if found is None:
        return [f"none of this code and these verdicts, run: make fresh CHAPTERS={path.stem}"]
    claims = set().union(*map(fresh_seeds.verdicts, nbformat.read(path, as_version=4).cells))
    faults = [f"has {set(found['claims'])}, must have {claims}"] * (set(found["claims"]) != claims)
    number = len(found["offsets"])
    few = number < ENOUGH or len({0, *found["offsets"]}) != number + 1
    faults += [f"offsets {found['offsets']}: there must be three or more, all different, none 0"] * few
    return faults + [
        f"{id}: {count} of {number}"
        for id, count in found["claims"].items()
        if not 0 <= count["same"] <= count["held"] <= number
    ]


@pytest.mark.parametrize("path", notebooks.listed(), ids=lambda path: path.stem)
def test_the_record_is_of_the_books_notebooks(path):
    assert record_faults(path) == []


def test_the_record_has_no_other_notebooks():
    assert list(fresh_seeds.read_record()) == [path.stem for path in notebooks.listed()]


def renamed(cells):
    cells[1].source += "  # a comment"


def retold(cells):
    cells[0].source += ", told in other words"


def remeasured(cells):
    cells[8].outputs[0].data[fresh_seeds.MIME]["control"] = {"c": "1.9"}


def reversed_(cells):
    cells[8].outputs[0].data[fresh_seeds.MIME]["verdict"] = "fails when so"


def replied(cells):
    cells[3].source = "raise NotImplementedError('try')"


@pytest.mark.parametrize(
    ("edit", "stale"),
    [(renamed, True), (reversed_, True), (retold, False), (remeasured, False), (replied, False)],
)
def test_a_record_of_other_code_or_verdicts_is_stale(book, record, tmp_path, edit, stale):
    notebook = nbformat.read(book, as_version=4)
    path = tmp_path / book.name
    fresh_seeds.write_record({"small": {"digest": fresh_seeds.digest(notebook), "offsets": [], "claims": {}}})
    edit(notebook.cells)
    nbformat.write(notebook, path)
    assert (fresh_seeds.recorded(path) is None) == stale
    assert fresh_seeds.recorded(book) is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"digest": "0" * 16}, "run: make fresh CHAPTERS=small"),
        ({"offsets": [1000, 2000]}, "three or more"),
        ({"offsets": [1000, 2000, 2000]}, "all different"),
        ({"offsets": [0, 1000, 2000]}, "none 0"),
        ({"claims": {"C01": {"held": 3, "same": 3}}}, "must have"),
        ({"claims": {id: {"held": 4, "same": 0} for id in COUNTS}}, "'held': 4"),
    ],
)
def test_faults_of_a_record_are_caught(book, record, change, message):
    digest = fresh_seeds.digest(nbformat.read(book, as_version=4))
    claims = {id: {"held": 3, "same": 0} for id in COUNTS}
    fresh_seeds.write_record({"small": {"digest": digest, "offsets": [1, 2, 3], "claims": claims} | change})
    faults = record_faults(book)
    assert faults == [] if message is None else message in "\n".join(faults)


def test_other_notebooks_keep_their_lines_and_the_books_order(record, tmp_path, monkeypatch):
    files = [tmp_path / f"{name}.ipynb" for name in "cab"]
    monkeypatch.setattr(fresh_seeds, "listed", lambda: files)
    fresh_seeds.write_record({"a": 1, "b": 1, "gone": 1})
    fresh_seeds.write_record({"b": 2, "c": 2})
    assert record.read_text(encoding="utf-8") == '{\n"c": 2,\n"a": 1,\n"b": 2\n}\n'


def test_a_card_says_on_how_many_moved_seeds_its_claim_held():
    claims = {"C03": {"held": 3, "same": 3}, "C04": {"held": 3, "same": 1}, "C05": {"held": 2, "same": 2}}
    said = {"page": {"offsets": [1, 2, 3], "claims": claims}, "other": None}
    assert [gdl_claims.moved_seeds(id, said["page"]) for id in claims] == [
        "The same verdict on 3 of 3 moved seeds, with the same numbers.",
        "The same verdict on 3 of 3 moved seeds.",
        "The same verdict on 2 of 3 moved seeds.",
    ]
    assert gdl_claims.moved_seeds("C03", None) == "Not yet run with moved seeds."
    found = {**dict.fromkeys(claims, ("page", {})), "C06": ("other", {})}
    assert "moved by 1, 2 and 3, 2 of 3 verdicts came out the same" in gdl_claims.all_seeds(found, said)
    assert gdl_claims.all_seeds({"C06": ("other", {})}, said) == ""
