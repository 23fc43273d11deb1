"""The notebooks and pages of the book, read without running them. ``pytest --nbval`` runs them.

Each check takes a notebook and returns what is wrong with it. The last part of this file plants a fault for each.
"""

import ast
import re
import sys
from collections import Counter
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from gdl_utils.claims import CLAIMS, Verdict
from gdl_utils.figures import ROLES

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "_ext"))

from gdl_claims import MIME, verdict_in
from handouts import handout
from handouts import main as write_handouts
from notebooks import RUNNING, is_normalised, listed, rows_of, serialise, with_rows

NOTEBOOKS = sorted(path for path in (ROOT / "book").rglob("*.ipynb") if not path.name.startswith(("_", ".")))
CHAPTERS = [path for path in NOTEBOOKS if path.stem in {claim.chapter for claim in CLAIMS.values()}]
LONGEST_CELL = 20
LONGEST_LINE = 84  # of what a cell prints: as many characters as code has, and as the page has room for
WORDS = 1500, 3500  # of a chapter's prose; exercises' solutions count too, as a reader reads them
MACHINE_PATH = re.compile(r"(?<![\w/.:-])(?:/home/|/root/|/tmp/|/Users/|/private/|/mnt/|[A-Z]:\\)\S*")
FIGURE_WORDS = re.compile(r"^(an? |the )?(figure|image|picture|plot|photo)( of)?\b[^a-z]*", re.IGNORECASE)


def tags(cell):
    return cell.metadata.get("tags", [])


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    """Pairs of a code cell and one of its outputs."""
    return [(cell, output) for cell in code_cells(notebook) for output in cell.outputs]


def claims(notebook):
    return [
        (cell, verdict_in(output.data))
        for cell, output in outputs(notebook)
        if MIME in output.get("data", {})
    ]


# The checks: each returns what is wrong with one notebook.


def execution_faults(notebook):
    counts = [cell.execution_count for cell in code_cells(notebook)]
    return [] if counts == list(range(1, len(counts) + 1)) else [f"not run once, in order: {counts}"]


def output_faults(notebook):
    faults = []
    for cell, output in outputs(notebook):
        if output.get("name") == "stderr":
            faults.append(f"{cell.id}: stderr: {output.text[:80]}")
        if output.output_type == "error" and "raises-exception" not in tags(cell):
            faults.append(f"{cell.id}: {output.ename}, and no tag raises-exception")
        # Base64 may spell anything, so pictures are not searched.
        data = {
            mime: value for mime, value in output.get("data", {}).items() if not mime.startswith("image/")
        }
        text = f"{output.get('text', '')}\n{data}\n{output.get('evalue', '')}\n" + "\n".join(
            output.get("traceback", [])
        )
        faults += [f"{cell.id}: a path of this machine: {path}" for path in MACHINE_PATH.findall(text)]
    return faults


def says_nothing(alt):
    """An alternative text must say what is to be seen, and in a sentence of its own."""
    words = FIGURE_WORDS.sub("", alt.strip())
    return (
        len(words) < 20 or len(words.split()) < 4 or re.search(r"\.(png|svg|jpe?g|gif)$", words) is not None
    )


def alt_faults(notebook):
    faults = []
    for cell, output in outputs(notebook):
        if any(mime.startswith("image/") for mime in output.get("data", {})):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            faults += [f"{cell.id}: alt text says nothing: {alt!r}"] * says_nothing(alt)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            faults += markdown_alt_faults(cell.source)
    return faults


def markdown_alt_faults(text):
    alts = re.findall(r"!\[([^\]]*)\]\(", text) + re.findall(r"<img(?![^>]*\balt=)()[^>]*>", text)
    alts += re.findall(r"<img[^>]*\balt=\"([^\"]*)\"", text)
    for block in re.findall(r"^[`:]{3,}\{(?:figure|image)\}(.*?)^[`:]{3,}", text, re.MULTILINE | re.DOTALL):
        alts.append("".join(re.findall(r"^:alt:(.*)$", block, re.MULTILINE)))
    return [f"alt text says nothing: {alt!r}" for alt in alts if says_nothing(alt)]


def ignored_output_faults(notebook):
    """What nbval does not compare must be asserted by the next code cell, or be a live cell without outputs."""
    faults, cells = [], code_cells(notebook)
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        if "nbval-ignore-output" not in tags(cell):
            continue
        if any(MIME in output.get("data", {}) for output in cell.outputs) or "check_claim(" in cell.source:
            faults.append(f"{cell.id}: a claim's output must be compared")
        live = "remove-output" in tags(cell) and not cell.outputs
        asserted = following is not None and re.search(
            r"^\s*assert\b|check_claim\(|assert_equivariant\(", following.source, re.MULTILINE
        )
        if not live and not asserted:
            faults.append(f"{cell.id}: its output is compared by nobody: no assert in the next code cell")
    return faults


def bound(criterion):
    """``"≤ 1e-12"`` as a test of a number."""
    sign, value = re.fullmatch(r"([≤≥]) (\S+)", criterion).groups()
    return (lambda x: x <= float(value)) if sign == "≤" else (lambda x: x >= float(value))


def meets(value, criterion):
    """A value is a number, or, where digits would be rounding, the very criterion that it met."""
    if value == criterion:
        return True
    # Three digits are shown: a value may have been rounded onto its bound, and no further.
    number = float(value.removeprefix("≤ "))  # a bound that was passed stands for what is below it
    return any(bound(criterion)(number * factor) for factor in (0.995, 1, 1.005))


def claim_faults(notebook):
    faults = []
    for cell, claim in claims(notebook):
        name = f"{cell.id}: {claim.get('id')}"
        if claim.get("id") not in CLAIMS:
            faults.append(f"{name} is not a claim of the book")
            continue
        if claim["statement"] != CLAIMS[claim["id"]].statement:
            faults.append(f"{name}: its statement is not the one in CLAIMS")
        for side, criterion in (("measured", "criterion"), ("control", "control_criterion")):
            if not claim.get(side):
                faults.append(f"{name}: nothing under {side!r}")
            for what, value in claim.get(side, {}).items():
                if not meets(value, claim[criterion]):
                    faults.append(f"{name}: {side} {what!r} = {value} is not {claim[criterion]}")
                if side == "control" and meets(value, claim["criterion"]):
                    faults.append(f"{name}: the control {what!r} = {value} passes, so it shows nothing")
        condition = claim["verdict"].removeprefix(claim["kind"]).strip()
        if not claim["verdict"].startswith(claim["kind"]) or bool(condition) != (claim["kind"] != "holds"):
            faults.append(f"{name}: verdict {claim['verdict']!r} does not fit its kind {claim['kind']!r}")
        # nbval does not compare HTML: it must be what the compared JSON gives.
        shown = next(output.data for output in cell.outputs if MIME in output.get("data", {}))
        for mime, text in Verdict(**claim)._repr_mimebundle_().items():
            if shown.get(mime) != text:
                faults.append(f"{name}: {mime} does not say what its JSON says")
    if uncalled := [
        c.id
        for c in code_cells(notebook)
        if "check_claim(" in c.source and c.id not in {x.id for x, _ in claims(notebook)}
    ]:
        faults.append(f"{uncalled}: call check_claim and put out no verdict")
    return faults


def length_faults(notebook):
    return [
        f"{cell.id}: {len(cell.source.splitlines())} lines"
        for cell in code_cells(notebook)
        if len(cell.source.splitlines()) > LONGEST_CELL
    ]


def line_faults(notebook):
    """Printed lines that a page at 1280 px cannot show in one line; what must be compared belongs into a table."""
    faults = []
    for cell, output in outputs(notebook):
        data = output.get("data", {})
        text = output.get("text", "")
        if not {"text/html", "text/markdown"} & data.keys() and not any(m.startswith("image/") for m in data):
            text += data.get("text/plain", "")
        faults += [
            f"{cell.id}: {len(line)} characters: {line[:60]}"
            for line in text.splitlines()
            if len(line) > LONGEST_LINE
        ]
    return faults


def opening_faults(notebook):
    """A chapter opens with its question and a picture: at most one folded bar of code stands between the two."""
    folded = 0
    for cell in notebook.cells:
        data = [output.get("data", {}) for output in cell.get("outputs", [])]
        folded += "hide-input" in tags(cell)
        drawn = any("image/png" in d or 'class="gdl-player"' in d.get("text/html", "") for d in data)
        if drawn or "![" in cell.source or "{figure}" in cell.source:
            return [f"{folded} folded bars of code before the opening picture"] * (folded > 1)
    return ["no picture"]


def id_faults(notebook):
    return [
        f"cell id {id!r} appears {n} times"
        for id, n in Counter(cell.id for cell in notebook.cells).items()
        if n > 1
    ]


def prose(markdown):
    """Markdown without code blocks, tables, directives' fences and options, maths, links' targets and HTML tags."""
    kept, fences, code = [], [], False
    for line in markdown.splitlines():
        fence, info = match.groups() if (match := re.match(r"([`:]{3,})(.*)", line)) else ("", "")
        if fence and fences and fence.startswith(fences[-1]) and not info.strip():
            fences.pop()
            code = False
        elif fence and not code:
            fences.append(fence)
            code = not info.startswith("{") or info.startswith(("{math}", "{code"))
        elif not code and not re.match(r":[\w-]+:|\|", line):
            kept.append(line)
    return re.sub(r"\$\$.*?\$\$|\$[^$]*\$|\]\([^)]*\)|<[^>]+>", " ", "\n".join(kept), flags=re.DOTALL)


def word_count(notebook):
    texts = [prose(cell.source) for cell in notebook.cells if cell.cell_type == "markdown"]
    return sum(len(re.findall(r"[^\W\d_][\w'’-]*", text)) for text in texts)


def prose_faults(notebook):
    count = word_count(notebook)
    return (
        []
        if WORDS[0] <= count <= WORDS[1]
        else [f"{count} words of prose; a chapter has {WORDS[0]} to {WORDS[1]}"]
    )


def functions(notebook):
    """Names of functions, of lambdas and of classes that a notebook defines in its cells; methods belong to their class."""
    sources = [re.sub(r"^\s*[%!].*$", "", cell.source, flags=re.MULTILINE) for cell in code_cells(notebook)]
    names = set()
    for node in (node for source in sources for node in ast.parse(source).body):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return names


def repeated(sets_by_name):
    """What appears under more than one name: ``{thing: [names]}``."""
    things = {thing for things in sets_by_name.values() for thing in things}
    owners = {
        thing: [name for name, things in sets_by_name.items() for t in things if t == thing]
        for thing in sorted(things)
    }
    return {thing: names for thing, names in owners.items() if len(names) > 1}


def toc_faults(toc, folder):
    pages = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    faults = [
        f"{page}: in the toc, and there is no such file"
        for page in pages
        if not any(folder.glob(f"{page}.*"))
    ]
    found = (
        path.relative_to(folder).with_suffix("").as_posix() for path in (folder / "book").rglob("*.ipynb")
    )
    return faults + [
        f"{page}: not in the toc"
        for page in found
        if page not in pages and not Path(page).name.startswith(("_", "."))
    ]


ONE_NOTEBOOK = [
    *(execution_faults, output_faults, alt_faults, ignored_output_faults, claim_faults),
    *(length_faults, line_faults, id_faults),
]

# The book


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def test_there_are_chapters():
    assert set(CHAPTERS) <= set(NOTEBOOKS) and len(CHAPTERS) >= 9


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_has_its_length(path):
    assert prose_faults(read(path)) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_opens_with_a_picture(path):
    assert opening_faults(read(path)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("check", ONE_NOTEBOOK, ids=lambda check: check.__name__)
def test_notebook(path, check):
    assert check(read(path)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_normalised(path):
    nbformat.validate(read(path))
    assert is_normalised(path), f"run: python _ext/notebooks.py execute {path.relative_to(ROOT)}"


def test_claims_are_measured_once_and_in_their_chapters():
    found = {path.stem: [claim["id"] for _, claim in claims(read(path))] for path in NOTEBOOKS}
    assert repeated(found) == {}
    for chapter, ids in found.items():
        assert set(ids) == {id for id, claim in CLAIMS.items() if claim.chapter == chapter}


def test_no_helper_is_defined_in_two_notebooks():
    assert repeated({path.stem: functions(read(path)) for path in NOTEBOOKS}) == {}


def test_toc_and_files_agree():
    assert toc_faults(yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8")), ROOT) == []


@pytest.mark.parametrize("path", sorted((ROOT / "book").rglob("*.md")), ids=lambda path: path.stem)
def test_page_has_alt_texts(path):
    assert markdown_alt_faults(path.read_text(encoding="utf-8")) == []


def of_solutions(notebook):
    """Ids of the cells that are a solution, or a part of one in words, and the words of all answers."""
    cells = [c.id for c in notebook.cells if "solution" in tags(c) or "{solution-" in c.source]
    return cells + [
        c.id for c in notebook.cells if re.search(r"\{admonition\} Answer|:class:.*dropdown", c.source)
    ]


def names(cells):
    """Names that the cells' code sets, and names that it reads."""
    sources = [re.sub(r"^\s*[%!].*$", "", cell.source, flags=re.MULTILINE) for cell in cells]
    found = [node for source in sources for node in ast.walk(ast.parse(source))]
    written = {n.id for n in found if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    written |= {n.name for n in found if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return written, {n.id for n in found if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def handout_faults(whole, handed):
    """What a handout has that it should not have, and what it lacks."""
    faults = of_solutions(handed)
    count = lambda notebook: "".join(cell.source for cell in notebook.cells).count("{exercise-start}")
    faults += [f"{count(handed)} exercises of {count(whole)}"] * (count(handed) != count(whole))
    kept = [cell.id for cell in handed.cells]
    left_out = [cell for cell in code_cells(whole) if cell.id not in kept]
    faults += [f"{cell.id} is missing" for cell in left_out if "solution" not in tags(cell)]
    (written, read_), (in_solutions, _) = names(code_cells(handed)), names(left_out)
    faults += [f"{name} is set in a solution only" for name in sorted(read_ & (in_solutions - written))]
    text = "\n".join(cell.source for cell in handed.cells)
    return faults + ["an open fence"] * (len(re.findall("^```", text, re.MULTILINE)) % 2)


@pytest.fixture(scope="module")
def handouts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handouts") / "handout"
    assert write_handouts(folder) == 0
    return folder


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_handout_has_exercises_and_no_solutions(handouts, path):
    whole, handed = read(path), read(handouts / path.name)
    assert of_solutions(whole) and handout_faults(whole, handed) == []
    assert all((handouts / page).exists() for page in re.findall(r"\]\((\w+\.\w+)", str(handed)))


def test_a_handout_says_what_its_chapter_says():
    words = "Before.\n\n```{solution-start} a\n:class: dropdown\n```\n\nSo."
    cells = [
        new_markdown_cell(words, id="a"),
        new_code_cell("x = 1", id="b", metadata={"tags": ["solution"]}, outputs=[stream("1")]),
        new_markdown_cell("More.", id="c"),
        new_markdown_cell("```{solution-end}\n```\n\n```{exercise-start} B\n```\n\nTry.", id="d"),
        new_code_cell("y = 2", id="e"),
        new_markdown_cell("```{admonition} Answer\n:class: dropdown\n\nYes.\n```\n\nGo on.\n\n"
        "```{admonition} Stay\n:class: tip\nIt stays.\n```", id="f"),
    ]  # fmt: skip
    handed = handout(new_notebook(cells=deepcopy(cells)))
    assert [(cell.id, cell.source) for cell in handed.cells] == [
        ("a", "Before."),
        ("d", "```{exercise-start} B\n```\n\nTry."),
        ("e", "y = 2"),
        ("f", "Go on.\n\n```{admonition} Stay\n:class: tip\nIt stays.\n```"),
    ]
    whole = new_notebook(cells=cells)
    assert handout_faults(whole, handed) == []
    assert "a" in handout_faults(whole, whole) and "f" in handout_faults(whole, whole)
    handed.cells[2].source = "y = x"
    assert handout_faults(whole, handed) == ["x is set in a solution only"]
    handed.cells = handed.cells[:1]
    assert handout_faults(whole, handed) == ["0 exercises of 1", "e is missing"]
    with pytest.raises(ValueError, match="does not end"):
        handout(new_notebook(cells=cells[:3]))
    with pytest.raises(ValueError, match="b: tagged as a solution"):
        handout(new_notebook(cells=cells[1:2]))


def test_the_teachers_page_names_the_target():
    page = (ROOT / "book" / "teaching.md").read_text(encoding="utf-8")
    assert "make handout" in page and "nbformat" not in page


def cost_faults(page, names):
    """Notebooks that the page on running does not list, in order, or that take too long or too much."""
    rows = rows_of(page)
    faults = [] if list(rows) == names else [f"lists {list(rows)}, must list {names}"]
    faults += [f"{name}: {s} s, {peak} MiB" for name, (s, peak) in rows.items() if s >= 60 or peak >= 1536]
    return faults + ["all together: more than 40 s a notebook"] * (
        sum(s for s, _ in rows.values()) > 40 * len(rows)
    )


def test_no_notebook_costs_much():
    """What was measured when the notebooks were last executed; nothing is timed here."""
    names = [file.stem for file in listed()]
    page = RUNNING.read_text(encoding="utf-8")
    assert cost_faults(page, names) == []
    assert with_rows(page, {}).split("Measured")[0] == page.split("Measured")[0], "run: make notebooks"
    assert cost_faults(page, names[1:]) != []
    slow = re.sub(r"\| \d+ s \| (\d)", r"| 59 s | \1", page)  # none too long alone, all of them together
    assert cost_faults(slow, names) == ["all together: more than 40 s a notebook"]
    for bad in ((61, 100), (10, 1600), (59, 100)):  # too long, too much, and together too long
        measured = dict.fromkeys(names if bad[0] == 59 else names[:1], bad)
        assert cost_faults(with_rows(page, measured), names) != []


def test_site_and_figures_use_one_palette():
    light = (ROOT / "_static" / "gdl.css").read_text(encoding="utf-8").split("}")[0]
    colors = dict(re.findall(r"--gdl-(\w+): (#\w{6});", light))
    assert {role: colors[role].lower() for role in ROLES} == {
        role: look["color"].lower() for role, look in ROLES.items()
    }


# Negative controls: a notebook without a fault, and the same with one


PNG = {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"}
CLAIM = Verdict(
    *("C06", CLAIMS["C06"].statement, "holds", "holds", "≤ 1e-12", "≥ 1e-06"),
    {"quarter-turn": "≤ 1e-12"},
    {"crop": "0.4"},
)


def claim_output(**changes):
    """A claim's output whose JSON was changed, alone; ``text/html`` and ``text/plain`` follow if they can."""
    bundle = Verdict(**{**CLAIM.__dict__, **changes})._repr_mimebundle_()
    return new_output("display_data", data=bundle)


def good_notebook():
    cells = [
        new_markdown_cell("# A chapter\n\n" + "Words that say something about $x$. " * 320, id="words"),
        new_code_cell("import torch", id="imports", execution_count=1),
        new_code_cell(
            "draw()", id="figure", execution_count=2, outputs=[new_output("display_data", data=PNG)]
        ),
        new_code_cell(
            "losses = fit()\nlosses", id="fit", execution_count=3, metadata={"tags": ["nbval-ignore-output"]}
        ),
        new_code_cell("assert losses[-1] < 0.1", id="asserts", execution_count=4),
        new_code_cell("check_claim('C06')", id="claim", execution_count=5, outputs=[claim_output()]),
        new_code_cell(
            "live()",
            id="live",
            execution_count=6,
            metadata={"tags": ["remove-output", "nbval-ignore-output"]},
        ),
    ]
    cells[2].metadata.mystnb = nbformat.from_dict(
        {"image": {"alt": "Two ways round a square end in the same digit."}}
    )
    return new_notebook(cells=cells)


def test_good_notebook_has_no_fault():
    assert [
        fault for check in [*ONE_NOTEBOOK, prose_faults, opening_faults] for fault in check(good_notebook())
    ] == []


def stream(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def plant(index, **changes):
    """A fault: set attributes of one cell of the good notebook."""

    def spoil(notebook):
        for name, value in changes.items():
            setattr(notebook.cells[index], name, value)

    return spoil


def alt(words):
    return plant(2, metadata=nbformat.from_dict({"mystnb": {"image": {"alt": words}}}))


def falsify(mime, old, new):
    def spoil(notebook):
        data = notebook.cells[5].outputs[0].data
        data[mime] = eval(repr(data[mime]).replace(old, new))

    return spoil


def two_bars(notebook):
    for cell in notebook.cells[1:3]:
        cell.metadata["tags"] = ["hide-input"]


ERROR = new_output("error", ename="ValueError", evalue="no", traceback=[])
PLANTED = {
    "not run": (execution_faults, plant(1, execution_count=None)),
    "out of order": (execution_faults, plant(1, execution_count=7)),
    "stderr": (output_faults, plant(1, outputs=[stream("a warning", "stderr")])),
    "error": (output_faults, plant(1, outputs=[ERROR])),
    "a home": (output_faults, plant(1, outputs=[stream("in /home/me/book/x.py")])),
    "root's home": (output_faults, plant(1, outputs=[stream("'/root/x.py'")])),
    "a temporary file": (output_faults, plant(1, outputs=[stream("/tmp/x")])),
    "a Mac": (output_faults, plant(1, outputs=[stream("(/Users/me/x)")])),
    "a Windows path": (output_faults, plant(1, outputs=[stream(r"C:\me\x")])),
    "a path in html": (
        output_faults,
        plant(1, outputs=[new_output("display_data", data={"text/html": "<p>/home/me</p>"})]),
    ),
    "no alt": (alt_faults, alt("")),
    "alt is a file name": (alt_faults, alt("the-commuting-diagram-of-this-chapter.png")),
    "alt is only a kind": (alt_faults, alt("A figure of a digit.")),
    "alt is short": (alt_faults, alt("Two digits.")),
    "no alt in markdown": (alt_faults, plant(0, source="![](x.png)")),
    "no alt in html": (alt_faults, plant(0, source='<img src="x.png">')),
    "no alt in a directive": (alt_faults, plant(0, source="```{figure} x.png\n:width: 3em\nWords.\n```")),
    "nobody asserts": (ignored_output_faults, plant(4, source="losses[-1]")),
    "only a word": (ignored_output_faults, plant(4, source="# we assert nothing")),
    "live with outputs": (ignored_output_faults, plant(6, outputs=[stream("moved")])),
    "claim not compared": (
        ignored_output_faults,
        plant(5, metadata=nbformat.from_dict({"tags": ["nbval-ignore-output"]})),
    ),
    "unknown claim": (claim_faults, plant(5, outputs=[claim_output(id="C99")])),
    "another statement": (claim_faults, plant(5, outputs=[claim_output(statement="It is so.")])),
    "nothing measured": (claim_faults, plant(5, outputs=[claim_output(measured={})])),
    "no control": (claim_faults, plant(5, outputs=[claim_output(control={})])),
    "control passes": (
        claim_faults,
        plant(5, outputs=[claim_output(control={"crop": "1e-13"}, control_criterion="≤ 1e-12")]),
    ),
    "measured misses": (claim_faults, plant(5, outputs=[claim_output(measured={"quarter-turn": "0.3"})])),
    "verdict of another kind": (claim_faults, plant(5, outputs=[claim_output(verdict="fails when cropped")])),
    "condition without if": (claim_faults, plant(5, outputs=[claim_output(verdict="holds always")])),
    "html says otherwise": (claim_faults, falsify("text/html", "0.4", "0.9")),
    "text says otherwise": (claim_faults, falsify("text/plain", "0.4", "0.9")),
    "json says otherwise": (claim_faults, falsify(MIME, "0.4", "0.9")),
    "verdict not put out": (claim_faults, plant(5, outputs=[])),
    "wide print": (line_faults, plant(1, outputs=[stream("short\n" + "x" * 85)])),
    "wide value": (
        line_faults,
        plant(1, outputs=[new_output("execute_result", data={"text/plain": "x" * 85})]),
    ),
    "no picture": (opening_faults, plant(2, outputs=[])),
    "two bars": (opening_faults, two_bars),
    "long cell": (length_faults, plant(1, source="x = 1\n" * 21)),
    "one id twice": (id_faults, plant(1, id="figure")),
    "too short": (prose_faults, plant(0, source="Words. " * 1400)),
    "too long": (prose_faults, plant(0, source="Words. " * 3600)),
    "only code": (
        prose_faults,
        plant(0, source="# A\n\n```python\n" + "word word\n" * 1000 + "```\n\n```{note}\nWords.\n```"),
    ),
    "only maths": (prose_faults, plant(0, source="$x y z$ " * 2000)),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_caught(fault):
    check, spoil = PLANTED[fault]
    notebook = deepcopy(good_notebook())
    spoil(notebook)
    assert check(notebook) != []


@pytest.mark.parametrize("change", ["none", "language", "timing", "live output", "shown", "spaces"])
def test_notebook_that_is_not_normalised_is_caught(tmp_path, change):
    notebook, path = good_notebook(), tmp_path / "chapter.ipynb"
    text = serialise(notebook)
    notebook = nbformat.reads(text, as_version=4)
    if change == "language":
        notebook.metadata.language_info = {"name": "python", "version": "3.11.2"}
    if change == "timing":
        notebook.cells[1].metadata.execution = {"iopub.execute_input": "2020-01-01T00:00:00Z"}
    if change == "shown":  # in JupyterLab, under the folded source of a solution
        notebook.cells[1].metadata = nbformat.from_dict(
            {"tags": ["solution"], "jupyter": {"source_hidden": True}}
        )
    if change == "live output":
        notebook.cells[6].outputs = [stream("moved")]
    path.write_text(nbformat.writes(notebook) + ("\n\n" if change == "spaces" else "\n"), encoding="utf-8")
    assert is_normalised(path) == (change == "none")


def test_execution_that_fails_leaves_the_notebook_alone(tmp_path, capsys):
    from notebooks import main

    path = tmp_path / "chapter.ipynb"
    cells = [new_code_cell("1 + 1", id="one"), new_code_cell("raise ValueError('planted')", id="two")]
    path.write_text(nbformat.writes(new_notebook(cells=cells)), encoding="utf-8")
    before = path.read_bytes()
    assert main("execute", str(path)) == 1
    said = capsys.readouterr().out
    assert "chapter.ipynb: cell 1" in said and "planted" in said
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_execution_is_the_same_twice(tmp_path):
    from notebooks import main

    path = tmp_path / "chapter.ipynb"
    cells = [
        new_code_cell("from pathlib import Path\nPath('beside.txt').exists()", id="one"),
        new_code_cell("print('moved')", id="live", metadata={"tags": ["remove-output"]}),
    ]
    (tmp_path / "beside.txt").touch()
    path.write_text(nbformat.writes(new_notebook(cells=cells)), encoding="utf-8")
    assert main("execute", str(path)) == 0
    first = path.read_bytes()
    assert is_normalised(path) and main("check", str(path)) == 0
    assert read(path).cells[0].outputs[0].data["text/plain"] == "True", "a notebook runs in its own folder"
    assert read(path).cells[1].outputs == [] and read(path).cells[1].execution_count == 2
    assert main("execute", str(path)) == 0 and path.read_bytes() == first


def test_repeated_names_are_caught():
    assert repeated({"a": {"f", "g"}, "b": {"g"}}) == {"g": ["a", "b"]}
    assert repeated({"a": ["C06", "C06"]}) == {"C06": ["a", "a"]}
    source = "%matplotlib inline\ndef turn(x):\n    return x\nclass Net: pass"
    assert functions(new_notebook(cells=[new_code_cell(source)])) == {"turn", "Net"}
    source = (
        "relative = lambda y: y\nn = 3\nnames = [lambda y: y]\nfor k in range(3):\n    inner = lambda y: y"
    )
    assert functions(new_notebook(cells=[new_code_cell(source)])) == {"relative"}
    source = "class Net:\n    def forward(self, x):\n        return x"  # a method is no helper, its class is
    assert functions(new_notebook(cells=[new_code_cell(source)])) == {"Net"}


def test_a_bound_that_was_passed_counts_as_below_it_and_not_as_above():
    assert meets("≤ 1e-12", "≤ 1e-12") and meets("0.3", "≥ 1e-06")
    assert not meets("≤ 1e-12", "≥ 1e-06") and not meets("0.3", "≤ 1e-12")


def test_prose_counts_what_a_reader_reads():
    text = "One $x$ two.\n\n````{exercise}\n:label: no\nThree.\n```python\nno\n```\nfour [five](no)\n````\n| no |\nsix\n\n$$\nno\n$$"
    assert word_count(new_notebook(cells=[new_markdown_cell(text)])) == 6


def test_toc_faults_are_caught(tmp_path):
    (tmp_path / "book").mkdir()
    for name in ("index.md", "orphan.ipynb", "_template.ipynb"):
        (tmp_path / "book" / name).touch()
    toc = {"root": "book/index", "parts": [{"chapters": [{"file": "book/absent"}]}]}
    assert toc_faults(toc, tmp_path) == [
        "book/absent: in the toc, and there is no such file",
        "book/orphan: not in the toc",
    ]


@pytest.mark.parametrize(
    "address, expected",
    [
        ("https://github.com/someone/a-book.git", "someone/a-book"),
        ("git@github.com:someone/a-book.git", "someone/a-book"),
        ("ssh://git@github.com/someone/a.book", "someone/a.book"),
        ("https://token@github.com/someone/a-book", "someone/a-book"),
        ("https://example.org/someone/a-book.git", None),
        ("https://github.com.example.org/someone/a-book", None),
        ("/srv/git/a-book", None),
        (None, None),
    ],
)
def test_only_addresses_of_githubs_form_are_used(tmp_path, address, expected):
    import subprocess

    from gdl_site import repository, site_url

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    if address:
        subprocess.run(["git", "-C", str(tmp_path), "remote", "add", "origin", address], check=True)
    assert repository(tmp_path, environ={}) == expected
    assert repository(tmp_path, environ={"GITHUB_REPOSITORY": "someone/else"}) == "someone/else"
    assert (
        site_url({"GDL_SITE_URL": "https://someone.github.io/a-book"}) == "https://someone.github.io/a-book/"
    )
    assert site_url({}) is None and site_url({"GDL_SITE_URL": "javascript:alert(1)"}) is None


@pytest.mark.parametrize(
    ("colours", "kept"), [(200, True), (4000, False)]
)  # the control has more than a palette holds
def test_a_figure_of_few_colours_loses_nothing_but_weight(colours, kept):
    import base64
    import io

    import numpy as np
    from notebooks import shrink_figures
    from PIL import Image

    shades = np.random.default_rng(0).integers(0, 256, (colours, 3), dtype=np.uint8)
    pixels = shades[np.arange(120 * 120) % colours].reshape(120, 120, 3)
    Image.fromarray(pixels).save(png := io.BytesIO(), "png")
    data = {"image/png": base64.b64encode(png.getvalue()).decode()}
    cell = nbformat.v4.new_code_cell(outputs=[nbformat.v4.new_output("display_data", data)])
    shrink_figures(nbformat.v4.new_notebook(cells=[cell]))
    smaller = base64.b64decode(cell.outputs[0].data["image/png"])
    after = np.asarray(Image.open(io.BytesIO(smaller)).convert("RGB"))
    assert np.array_equal(after, pixels) == kept
    assert len(smaller) < len(png.getvalue())
