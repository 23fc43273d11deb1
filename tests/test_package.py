"""The package as its users get it: built, installed into an empty environment, and used as the recipes say.

That environment lies in ``.venv/alone`` and is made once (which needs the network) for each list of dependencies.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
ALONE = ROOT / ".venv" / "alone"
TRACKED = (
    "gdl_utils/__init__.py",
    "gdl_utils/py.typed",
    "gdl_utils/claims.toml",
    "gdl_utils/layers/convolutions.py",
)


def recipes(notebook):
    """``{title: program}``: the code of each section, as somebody would copy it."""
    found, title = {}, None
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            titles = [line[3:] for line in cell.source.splitlines() if line.startswith("## ")]
            title = titles[-1] if titles else title
        else:
            found[title] = found.get(title, "") + cell.source + "\n"
    return found


RECIPES = recipes(nbformat.read(ROOT / "book" / "recipes.ipynb", as_version=4))


def run(*command, env=None, **options):
    """Run a command, with no path to other packages; what it said is in the error, should it fail."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | (env or {})
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=env, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The source distribution, and the wheel that is made of it."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    return {path.suffix: path for path in out.iterdir()}


@pytest.fixture(scope="session")
def python(built):
    """The interpreter of an environment that has the wheel, what it asks for, and nothing else."""
    with zipfile.ZipFile(built[".whl"]) as wheel:
        metadata = next(name for name in wheel.namelist() if name.endswith("METADATA"))
        asked = [line for line in wheel.read(metadata).decode().splitlines() if line.startswith("Requires")]
    made_for = "\n".join([sys.version, *asked, (ROOT / "constraints.txt").read_text(encoding="utf-8")])
    stamp, interpreter = ALONE / "made-for", ALONE / "bin" / "python"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != made_for:
        shutil.rmtree(ALONE, ignore_errors=True)
        run(sys.executable, "-m", "venv", ALONE)
        index = ["--extra-index-url", os.environ["TORCH_INDEX"]] if os.environ.get("TORCH_INDEX") else []
        run(interpreter, "-m", "pip", "install", "-c", ROOT / "constraints.txt", *index, built[".whl"])
        stamp.write_text(made_for, encoding="utf-8")
    run(interpreter, "-m", "pip", "install", "--no-deps", "--no-index", "--force-reinstall", built[".whl"])
    return interpreter


def test_wheel_has_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built[".whl"]) as wheel:
        names = wheel.namelist()
    assert set(TRACKED) <= set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"gdl_utils"}
    assert not [name for name in names if "__pycache__" in name]


def test_source_distribution_has_package_tests_and_licences(built):
    with tarfile.open(built[".gz"]) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {*TRACKED, "tests/test_groups.py", "LICENSE", "LICENSE-text", "NOTICE", "README.md"} <= names
    assert not [name for name in names if name.startswith(("book/", "_build/", ".venv"))]


def test_the_environment_has_no_extras(python, tmp_path):
    """The control: what only the book or its tests need is not there, nor is the repository on the path."""
    for name in ("sphinx", "pytest", "jupyterlab", "nbclient"):
        with pytest.raises(AssertionError, match="ModuleNotFoundError"):
            run(python, "-c", f"import {name}", cwd=tmp_path)
    where = run(python, "-c", "import gdl_utils; print(gdl_utils.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(ALONE)


def test_types_are_found(python, tmp_path):
    """Type checkers read annotations only where ``py.typed`` stands beside them."""
    find = "from importlib.resources import files; print((files('gdl_utils') / 'py.typed').is_file())"
    assert run(python, "-c", find, cwd=tmp_path) == "True\n"


@pytest.mark.parametrize("title", RECIPES)
def test_recipe_runs_with_the_wheel_alone(python, tmp_path, title):
    script = tmp_path / "recipe.py"
    script.write_text(RECIPES[title], encoding="utf-8")
    run(python, script, cwd=tmp_path, env={"MPLBACKEND": "agg"})


def test_a_recipe_that_does_not_stand_alone_is_caught(python, tmp_path):
    second = recipes(nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_markdown_cell("## One"), nbformat.v4.new_code_cell("import torch"),
        nbformat.v4.new_markdown_cell("Words.\n\n## Two\n\nMore."), nbformat.v4.new_code_cell("print(torch.ones(1))"),
    ]))["Two"]  # fmt: skip
    (tmp_path / "recipe.py").write_text(second, encoding="utf-8")
    with pytest.raises(AssertionError, match="NameError"):
        run(python, tmp_path / "recipe.py", cwd=tmp_path)


def test_there_are_eleven_recipes():
    assert len(RECIPES) == 11
