"""The frame: do the files that say what to install, and how, say the same?

Each check takes texts and returns what is wrong with them. The last part of this file plants a fault for each.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
CONDA = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}  # conda's name: ours
NOT_OURS = {"python", "pip"}
HOSTS = {"download.pytorch.org", "127.0.0.1"}  # the first is the only place an installer may be sent to
PYPROJECT, CONSTRAINTS, ENVIRONMENT = ((ROOT / name).read_text(encoding="utf-8") for name in (
    "pyproject.toml", "constraints.txt", "environment.yml"))  # fmt: skip
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FRAME = ["pyproject.toml", "constraints.txt", "environment.yml", "Makefile", ".ci/run"]


def project(text):
    return tomllib.loads(text)["project"]


def requirements(text):
    """Everything that pyproject names, in all extras, but the package itself."""
    data = project(text)
    groups = [data["dependencies"], *data["optional-dependencies"].values()]
    found = [Requirement(line) for group in groups for line in group]
    return [r for r in found if canonicalize_name(r.name) != canonicalize_name(data["name"])]


def names(lines):
    return {canonicalize_name(re.split(r"[ =<>!~\[;]", line)[0]) for line in lines}


def conda_faults(environment, pyproject):
    """Conda's list and pyproject name the same packages, and an admitted Python."""
    entries = yaml.safe_load(environment)["dependencies"]
    conda = names(entry for entry in entries if isinstance(entry, str))
    ours = names(project(pyproject)["dependencies"])
    translated = {CONDA.get(name, name) for name in conda - NOT_OURS}
    faults = [f"environment.yml lacks {name}" for name in ours - translated]
    faults += [f"environment.yml has {name}, pyproject has not" for name in translated - ours]
    if [entry for entry in entries if isinstance(entry, dict)] != [{"pip": ["-e .[lab]"]}]:
        faults.append("environment.yml: pip's part must be -e .[lab]")
    python = next((entry.split("=")[-1] for entry in entries if str(entry).startswith("python=")), "none")
    if python == "none" or python not in SpecifierSet(project(pyproject)["requires-python"]):
        faults.append(f"environment.yml: Python {python} is not admitted by pyproject")
    return faults


def pin_faults(constraints, pyproject):
    """Every package that pyproject names is pinned exactly, once, without local suffix, to an admitted version."""
    faults, pins = [], {}
    for line in constraints.splitlines():
        match = re.fullmatch(r"([\w.-]+)==([\w.!]+)", line)
        if not match:
            faults.append(f"constraints.txt: {line!r} is not of the form name==version")
        elif canonicalize_name(match[1]) in pins:
            faults.append(f"constraints.txt pins {match[1]} twice")
        else:
            pins[canonicalize_name(match[1])] = Version(match[2])
    for requirement in requirements(pyproject):
        pin = pins.get(canonicalize_name(requirement.name))
        if pin is None:
            faults.append(f"constraints.txt does not pin {requirement.name}")
        elif pin not in requirement.specifier:
            faults.append(
                f"constraints.txt pins {requirement.name} to {pin}, pyproject asks for {requirement.specifier}"
            )
    return faults


def host_faults(text):
    """No file sends pip to a place that others do not have."""
    text = text.replace("file://$(CURDIR)/", "").replace("--extra-index-url $(TORCH_INDEX)", "")
    hosts = {urlsplit(address).hostname or address for address in re.findall(r"\b\w+://[^\s'\"<>)]+", text)}
    faults = [f"address at {host}" for host in hosts - HOSTS]
    return faults + re.findall(r"--find-links|--index-url|--extra-index-url|(?m:^-f\b)", text)


def python_faults(pyproject, makefile, workflow):
    """Pyproject, Makefile and the test workflow agree on the oldest Python."""
    oldest = re.fullmatch(r">=(\d+)\.(\d+)", project(pyproject)["requires-python"]).groups()
    faults = []
    if f"sys.version_info < ({oldest[0]}, {oldest[1]})" not in makefile:
        faults.append("Makefile: another oldest Python than pyproject's")
    tested = yaml.safe_load(workflow)["jobs"]["test"]["strategy"]["matrix"]["python"]
    if (
        ".".join(oldest) not in tested
        or len(tested) < 2
        or not all(isinstance(version, str) for version in tested)
    ):
        faults.append(f"test.yml: tests {tested}, must have the oldest and another one, as strings")
    if tomllib.loads(pyproject)["tool"]["ruff"]["target-version"] != "py" + "".join(oldest):
        faults.append("ruff: another target version")
    return faults


def workflow_faults(text, targets):
    """A workflow says its permissions, calls make, and only targets that exist; actions are pinned by major version."""
    data = yaml.safe_load(text)
    steps = [step for job in data["jobs"].values() for step in job["steps"]]
    called = re.findall(r"^\s*make (\w+)", "\n".join(step.get("run", "") for step in steps), re.MULTILINE)
    faults = [] if called else ["calls no make"]
    faults += [f"make has no target {name}" for name in called if name not in targets]
    faults += [
        f"not pinned by major version: {s['uses']}"
        for s in steps
        if not re.search(r"@v\d+$", s.get("uses", "@v1"))
    ]
    return faults + [f"lacks {key}" for key in ("permissions",) if key not in data]


def binder_faults(folder):
    """Binder's own tool plans to install environment.yml, with its Python; nothing is downloaded or built."""
    command = [sys.executable, "-m", "repo2docker", "--no-build", "."]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if run.returncode:
        return [f"refused: {run.stderr.strip()}"]
    faults = [] if '--file "environment.yml"' in run.stdout else ["environment.yml is not installed"]
    asked = re.findall(r"^ *- (python=.*)$", (folder / "environment.yml").read_text(), re.MULTILINE)
    planned = re.findall(r"environment for (python=\S*)", run.stderr)
    return faults + [f"{planned}, and not {asked}"] * (planned != asked)


def test_conda_names_what_pyproject_names():
    assert not conda_faults(ENVIRONMENT, PYPROJECT)


def test_everything_named_is_pinned():
    assert not pin_faults(CONSTRAINTS, PYPROJECT)


@pytest.mark.parametrize("name", FRAME)
def test_no_installer_is_sent_elsewhere(name):
    assert not host_faults((ROOT / name).read_text(encoding="utf-8"))


def test_python_versions_agree():
    workflow = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    assert not python_faults(PYPROJECT, (ROOT / "Makefile").read_text(encoding="utf-8"), workflow)


@pytest.fixture
def tracked(tmp_path):
    """A copy of what is in the repository, as Binder gets it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this folder is not a git repository")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_binder_installs_the_environment(tracked):
    assert binder_faults(tracked) == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: replace(folder, "dependencies:", "dependencies: ["), "ParserError"),
        (lambda folder: replace(folder, "name: gdl", "- gdl"), "ParserError"),
        (lambda folder: replace(folder, "python=3.11", "python=3.99"), "not supported"),
        (lambda folder: (folder / "binder").mkdir(), "environment.yml is not installed"),
        (
            lambda folder: (folder / "Dockerfile").write_text("FROM scratch"),
            "environment.yml is not installed",
        ),
    ],
    ids=["yaml", "list", "python", "other folder", "other file"],
)
def test_binder_files_that_are_broken_are_refused(tmp_path, spoil, message):
    (tmp_path / "environment.yml").write_text(ENVIRONMENT)
    assert binder_faults(tmp_path) == []
    spoil(tmp_path)
    assert message in "\n".join(binder_faults(tmp_path))


def replace(folder, old, new):
    (folder / "environment.yml").write_text(ENVIRONMENT.replace(old, new))


def make_targets():
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    return phony[1].split()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_make(path):
    assert not workflow_faults(path.read_text(encoding="utf-8"), make_targets())


def test_the_workflows_are_there():
    assert [path.stem for path in WORKFLOWS] == ["fresh", "links", "publish", "test"]


def test_help_lists_every_target():
    listed = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert set(re.findall(r"^make (\w+)", listed, re.MULTILINE)) == set(make_targets()) - {"FORCE"}


@pytest.mark.parametrize("version", [None, "old"])
def test_without_a_python_make_says_so_in_one_line(tmp_path, version):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "cat", "cksum", "cut", "find", "sort", "mkdir", "rm", "mv", "touch"):
        (tools / name).symlink_to(shutil.which(name))
    if version == "old":  # it answers every question with no
        (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
        (tools / "python3").chmod(0o755)
    command = [shutil.which("make"), "-s", "lab"]
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))} | {
        "PATH": str(tools)
    }
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    said = [line for line in run.stderr.splitlines() if "***" not in line and "No such file" not in line]
    assert run.returncode != 0 and not (tmp_path / ".venv").exists()
    assert len(said) == 1 and "Python 3.11 or newer is needed" in said[0]


@pytest.mark.parametrize(
    ("version", "said"), [("v2.1.7", "Jupyter Book 2.1.7"), ("Jupyter Book : 1.0.4", "")]
)
def test_another_jupyter_book_is_refused_in_one_line(tmp_path, version, said):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "ready").touch()
    for name, line in (("python", ""), ("jupyter-book", f"mkdir -p _build/html; echo '{version}'")):
        (tmp_path / ".venv" / "bin" / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / ".venv" / "bin" / name).chmod(0o755)
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "-s", "book", "READY=.venv/ready"]
    run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)
    lines = [line for line in run.stderr.splitlines() if line.startswith("make: ") and "***" not in line]
    assert (run.returncode != 0) == bool(said) == (len(lines) == 1), run.stderr
    assert said in "".join(lines) and all(
        "needs version 1" in line and "rm -r .venv" in line for line in lines
    )


def test_the_readmes_examples_run():
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_citation_is_what_pyproject_says():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["version"] == project(PYPROJECT)["version"]
    assert citation["authors"] == project(PYPROJECT)["authors"]


@pytest.fixture
def colab():
    spec = importlib.util.spec_from_file_location("colab", ROOT / ".github" / "colab.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_colab_gets_an_install_cell_and_nothing_else_changes(colab, tmp_path):
    path = tmp_path / "small.ipynb"
    output = nbformat.v4.new_output("stream", text="7\n")
    cells = [
        nbformat.v4.new_markdown_cell("# A title"),
        nbformat.v4.new_code_cell("print(7)", outputs=[output], execution_count=1),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    assert colab.main("someone/a-book", path) == 0
    once = path.read_bytes()
    assert (
        colab.main("someone/a-book", path) == 0 and path.read_bytes() == once
    )  # a second time changes nothing
    first, *rest = nbformat.read(path, as_version=4).cells
    assert "https://github.com/someone/a-book repository" in first.source
    assert first.source.splitlines()[-2:] == ["%pip install -q ./repository", "%cd repository/book"]
    assert rest == cells


def test_colab_refuses_what_is_no_repository(colab):
    with pytest.raises(ValueError, match="owner/name"):
        colab.add_install_cell(nbformat.v4.new_notebook(), "someone/a-book; rm -rf /")
    assert colab.main() == 2


def test_the_sources_have_no_install_cell():
    for path in (ROOT / "book").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        assert not any("pip install" in c.source for c in cells if c.cell_type == "code"), path.name


# Planted faults: each check above must see what it is for.

WORKFLOW = "permissions: {}\njobs: {test: {strategy: {matrix: {python: ['3.11', '3.13']}}, steps: [{uses: a/b@v4}, {run: make test}]}}"


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: conda_faults(ENVIRONMENT.replace("  - scipy\n", ""), PYPROJECT), "lacks scipy"),
        (
            lambda: conda_faults(ENVIRONMENT.replace("pytorch-cpu", "pytorch-cpu\n  - pandas"), PYPROJECT),
            "has pandas",
        ),
        (lambda: conda_faults(ENVIRONMENT.replace("python=3.11", "python=3.10"), PYPROJECT), "Python 3.10"),
        (lambda: conda_faults(ENVIRONMENT.replace("[lab]", "[book]"), PYPROJECT), "-e .[lab]"),
        (lambda: pin_faults(re.sub("(?m)^nbval==.*\n", "", CONSTRAINTS), PYPROJECT), "does not pin nbval"),
        (lambda: pin_faults(CONSTRAINTS + "torch==2.13.0+cpu\n", PYPROJECT), "not of the form"),
        (lambda: pin_faults(CONSTRAINTS + "numpy>=2\n", PYPROJECT), "not of the form"),
        (lambda: pin_faults(CONSTRAINTS + "NumPy==2.4.6\n", PYPROJECT), "twice"),
        (
            lambda: pin_faults(re.sub("(?m)^jupyter-book==.*", "jupyter-book==2.1", CONSTRAINTS), PYPROJECT),
            "<2",
        ),
        (
            lambda: host_faults("--extra-index-url https://pip.example.org/simple"),
            "address at pip.example.org",
        ),
        (lambda: host_faults("gdl @ file:///srv/wheels/gdl.whl"), "address at file:///srv"),
        (lambda: host_faults("pip install --find-links /srv/wheels ."), "--find-links"),
        (lambda: python_faults(PYPROJECT, "sys.version_info < (3, 9)", WORKFLOW), "Makefile"),
        (lambda: python_faults(PYPROJECT, "", WORKFLOW.replace("'3.11'", "3.10")), "test.yml"),
        (lambda: workflow_faults(WORKFLOW.replace("make test", "pytest"), ["test"]), "calls no make"),
        (lambda: workflow_faults(WORKFLOW, ["book"]), "no target test"),
        (lambda: workflow_faults(WORKFLOW.replace("@v4", "@main"), ["test"]), "not pinned"),
        (lambda: workflow_faults(WORKFLOW.replace("permissions", "on"), ["test"]), "lacks permissions"),
    ],
)
def test_a_planted_fault_is_seen(check, message):
    assert message in "\n".join(check())


def test_the_small_workflow_of_the_faults_is_sound():
    assert not workflow_faults(WORKFLOW, ["test"])
    assert not python_faults(PYPROJECT, "sys.version_info < (3, 11)", WORKFLOW)
    assert sys.version_info >= (3, 11)
