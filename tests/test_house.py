"""The house's own rules: no public name without use, no long file, imports from left to right."""

import ast
import importlib
import inspect
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gdl_utils"
LONGEST = 300  # lines of a module that are not blank
ALL = 5_100  # lines of code, without docstrings, which are the page of the API: of all modules but data and figures
# Each module may import from those before it; those in one group do not know each other.
ORDER = [
    {"_checkpoints", "_checks", "_null_space", "_processes"},
    {"groups", "meshes", "pictures"},
    {"representations"},
    {"domains"},
    {"signals"},
    {"intertwiners", "equivariance", "spectra"},
    {"layers"},
    {"blueprint"},
    {"claims", "data", "figures", "training"},
]


# The checks: each returns what is wrong.


def public_names(modules):
    """``{name: what it is}`` for all that the modules list in ``__all__``."""
    return {name: getattr(module, name) for module in modules for name in getattr(module, "__all__", ())}


def unused(names, code):
    """Names that no code imports; a class that an imported function returns is used with it."""
    imports = re.findall(r"from gdl_utils[\w.]* import (\([^)]*\)|.*)", code)
    imported = set(re.findall(r"\w+", " ".join(imports)))
    of_modules = {name for module, name in re.findall(r"\b(\w+)\.(\w+)", code) if module in imported}
    used = names.keys() & (imported | of_modules)
    functions = [thing for name, thing in names.items() if inspect.isfunction(thing) and name in used]
    returned = " ".join(str(inspect.signature(function).return_annotation) for function in functions)
    return {name for name in names.keys() - used if not re.search(rf"\b{name}\b", returned)}


def code_lines(source):
    """How many lines of a module are neither blank nor part of a docstring."""
    documented = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            documented |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(source.splitlines(), start=1)
    return sum(bool(line.strip()) and number not in documented for number, line in lines)


def long_ones(lines):
    """Modules above their bound, in ``{path: number of lines}``."""
    return [path for path, n in lines.items() if n > LONGEST]


def imported(source):
    """The package's modules that a module imports, at its top or within."""
    for node in ast.walk(ast.parse(source)):
        paths = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        paths += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (path.split(".")[1] for path in paths if path.startswith("gdl_utils."))


def backward_imports(sources):
    """Pairs of modules of which the first imports the second, and stands before it or beside it."""
    place = {name: i for i, names in enumerate(ORDER) for name in names}
    return [
        (path, other)
        for path, source in sources.items()
        for other in imported(source)
        if other != (name := path.split("/")[0].removesuffix(".py")) and place[other] >= place[name]
    ]


# The package


def modules():
    paths = [path for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"]
    stems = sorted(path.stem for path in paths if path.stem[0] != "_")
    return [importlib.import_module(f"gdl_utils.{stem}") for stem in stems]


def sources():
    return {
        path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def code_of_users():
    """All code that uses the package: in notebooks, the README, experiments, benchmarks and the site's extensions."""
    notebooks = [path for path in (ROOT / "book").glob("*.ipynb") if not path.name.startswith(".")]
    cells = [cell for path in notebooks for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    texts += re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    for folder in ("experiments", "benchmarks", "_ext"):
        texts += [path.read_text(encoding="utf-8") for path in sorted((ROOT / folder).glob("*.py"))]
    return "\n".join(texts)


def test_every_public_name_is_used():
    assert unused(public_names(modules()), code_of_users()) == set()


def test_no_module_is_long_nor_all_of_them():
    lines = {path: sum(map(bool, map(str.strip, source.splitlines()))) for path, source in sources().items()}
    assert long_ones(lines) == []
    counted = {path: code_lines(source) for path, source in sources().items()}
    assert sum(n for path, n in counted.items() if not path.startswith(("data/", "figures/"))) <= ALL


def test_imports_run_from_left_to_right():
    known = {path: source for path, source in sources().items() if path != "__init__.py"}
    assert backward_imports(known) == []


def test_the_api_has_the_modules_in_that_order():
    page = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    named = re.findall(r"automodule:: gdl_utils\.(\w+)", page)
    at = [next(k for k, group in enumerate(ORDER) if name in group) for name in named]
    assert at == sorted(at) and {n for g in ORDER for n in g if n[0] != "_"} == set(named)


# Negative controls: one fault each


def made(n: int) -> "Thing":
    """A function that returns a class."""


class Thing:
    """What it returns."""


def test_a_name_that_nobody_uses_is_seen():
    names = {"made": made, "Thing": Thing, "count": 3}
    assert unused(names, "from gdl_utils.a import (\n    count,\n    made,\n)\nmade(3)") == set()
    assert unused(names, "from gdl_utils import a\na.made(b.count)") == {"count"}
    assert unused(names, "from gdl_utils.a.b import count, counted  # so many") == {"made", "Thing"}
    assert {"Group", "cross_entropy", "CLAIMS", "turned"} <= public_names(modules()).keys()


def test_a_long_module_is_seen_and_docstrings_are_not_counted_as_code():
    assert long_ones({"a.py": 300, "b.py": 301}) == ["b.py"]
    documented = '"""What it is,\n\nat length."""\n\nx = "text"  # said\n\n\ndef f():\n    """And this."""\n    return x\n'
    assert code_lines(documented) == 3
    assert code_lines(documented.replace('"""And', 'y = """And')) == 4


@pytest.mark.parametrize(
    ("path", "source", "faults"),
    [
        ("layers/sets.py", "from gdl_utils.signals import SignalSpace", []),
        ("layers/sets.py", "from gdl_utils.layers.linear import EquivariantLinear", []),
        ("groups/group.py", "from gdl_utils.domains import torus", ["domains"]),
        ("groups/group.py", "def f():\n    import gdl_utils.layers.sets", ["layers"]),
        ("training.py", "from gdl_utils.data import digits", ["data"]),
        ("signals.py", "import torch\nfrom gdl_utils.claims import CLAIMS", ["claims"]),
    ],
)
def test_an_import_that_runs_back_is_seen(path, source, faults):
    assert backward_imports({path: source}) == [(path, other) for other in faults]


def undescribed(name, thing):
    """Arguments that a docstring's list of parameters leaves out, and those that have no name of their own."""
    listed = re.findall(r"^([\w, *]+) : ", inspect.getdoc(thing) or "", re.MULTILINE)
    described = {word.strip(" *") for line in listed for word in line.split(",")}
    parameters = inspect.signature(thing).parameters.values()
    catch_all = [f"{name}: {p}" for p in parameters if p.kind is p.VAR_KEYWORD]
    return catch_all + [f"{name}: {p.name}" for p in parameters if p.name not in described]


def test_every_argument_of_every_public_name_is_described():
    public = public_names(modules()).items()
    torchs = {"GroupBatchNorm"}  # whose arguments are those of torch.nn.BatchNorm1d
    functions = [(name, thing) for name, thing in public if callable(thing) and name not in torchs]
    assert len(functions) > 60 and [line for pair in functions for line in undescribed(*pair)] == []


def test_an_argument_without_a_sentence_is_seen():
    def half(x, y, **more):
        """Return half.

        x : float
        """

    assert undescribed("half", half) == ["half: **more", "half: y", "half: more"]
