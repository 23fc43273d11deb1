"""A chapter in JupyterLab, in a real Chromium, as after ``make lab``: opened, run, and its sliders moved.

Each check is a function that returns a list of faults. A notebook with one for each shows that they see them.
"""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebooks import serialise
from PIL import Image, ImageDraw

from gdl_utils.figures import Player, segment, text

CHAPTER = Path(__file__).parents[1] / "book" / "symmetry.ipynb"  # the fastest
# No news, no question about them, no looking for updates or extensions; light or dark as the browser asks.
OPTIONS = ["--no-browser", "--allow-root", "--port=0", "--expose-app-in-browser", "--LabApp.news_url=None"]
OPTIONS += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
OPTIONS += ["--LabApp.extension_manager=readonly"]
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/apputils-extension:themes": {"adaptive-theme": True},
}
DRAWN = [segment((0, y), (100, 50), "signal") + text((50, 90), f"{y}") for y in (0, 99)]
WORDS = ["0", "99"], ["It falls.", "It rises."], "lean", "A line that leans."
PLAYER = Player(DRAWN, *WORDS, size=(100, 100))._repr_html_()
RAW = "# Faults\n\n````\n```{admonition} Raw\n:class: tip\n```\n````"
CODE = ["from IPython.display import HTML, Image\nfrom ipywidgets import FloatSlider"]
CODE += [f"HTML(filename='{name}.html')" for name in ("dead", "light", "keyless")]
CODE += ["display(FloatSlider())\nImage('dark_on_nothing.png')", "1 / 0", "'never reached'"]


def write(folder):
    """The notebooks: the chapter to run and to look at, the latter without pictures too, and the one with faults."""
    chapter = serialise(nbformat.read(CHAPTER, as_version=4))
    cells = [new_markdown_cell(RAW), *map(new_code_cell, CODE)]
    shown = new_code_cell(
        "print('shown')", metadata={"tags": ["solution"], "jupyter": {"source_hidden": True}}
    )
    cells.insert(2, shown)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    files = {
        "chapter.ipynb": chapter,
        "unrun.ipynb": chapter,
        "blind.ipynb": re.sub(r'<img alt=.*?/>| hidden=\\"hidden\\"', "", chapter),
        "faults.ipynb": nbformat.writes(new_notebook(cells=cells, metadata=kernel)),
        "dead.html": PLAYER.replace("i.oninput", "i.other"),
        "light.html": PLAYER.replace("<figure ", '<figure style="--ink:#1a1a1a" '),
        "keyless.html": PLAYER.replace("data-lm-suppress-shortcuts", "data-other"),
    }
    for name, content in files.items():
        content = content.replace("gdl-player-", f"gdl-player-{name[0]}") if "html" in name else content
        (folder / name).write_text(content, encoding="utf-8")
    ImageDraw.Draw(image := Image.new("RGBA", (200, 200))).line((0, 0, 200, 200), "#1a1a1a", 9)
    image.save(folder / "dark_on_nothing.png")


@pytest.fixture(scope="module")
def lab(browser, tmp_path_factory):
    """A server whose notebooks, settings and data are its own; gives an address to fill with a notebook's name."""
    home = tmp_path_factory.mktemp("lab")
    for name in ("book", "runtime", "config/labconfig"):
        (home / name).mkdir(parents=True)
    write(home / "book")
    (home / "config" / "labconfig" / "default_setting_overrides.json").write_text(json.dumps(SETTINGS))
    own = {f"JUPYTER_{name.upper()}_DIR": name for name in ("config", "data", "runtime")}
    own |= {f"JUPYTERLAB_{name.upper()}_DIR": name for name in ("settings", "workspaces")}
    own |= {"HOME": ".", "IPYTHONDIR": "ipython", "MPLCONFIGDIR": "matplotlib"}
    environ = {k: v for k, v in os.environ.items() if not k.startswith("JUPYTER")}
    environ |= {name: str(home / folder) for name, folder in own.items()} | {"TQDM_DISABLE": "1"}
    command, log = [sys.executable, "-m", "jupyterlab", str(home / "book"), *OPTIONS], home / "log"
    with log.open("w") as out:
        server = subprocess.Popen(command, cwd=home, env=environ, stdout=out, stderr=out)
    try:
        for _ in range(600):
            time.sleep(0.1)
            with contextlib.suppress(OSError, StopIteration, ValueError):
                said = json.loads(next((home / "runtime").glob("jpserver-*.json")).read_text())
                urllib.request.urlopen(f"{said['url']}api?token={said['token']}").close()
                break
            assert server.poll() is None, log.read_text()
        yield "{url}lab/workspaces/%s/tree/%s.ipynb?token={token}".format(**said)
    finally:
        server.terminate()
        server.wait(30)


@contextlib.contextmanager
def opened(browser, lab, name):
    """Open a notebook; give the page, and a list that fills with faults as the page lives."""
    page, faults, url = browser.new_page(), [], lab.split("lab/")[0]
    page.set_default_timeout(30_000)
    page.route(
        lambda address: not address.startswith((url, "data:", "blob:")),
        lambda route: (faults.append(f"foreign request: {route.request.url}"), route.abort()),
    )
    page.on("console", lambda m: faults.append(f"console: {m.text}") if m.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    page.on("response", lambda r: faults.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
    page.goto(lab % (name, name))
    page.wait_for_function(
        """() => { const panel = window.jupyterapp?.shell.currentWidget, cells = panel?.content?.widgets ?? []
        return panel?.sessionContext?.session?.kernel?.status == 'idle' && cells.length && cells.every(
          cell => cell.node.isConnected && (cell.model.type == 'code' || cell.node.querySelector('.myst > *'))) }"""
    )
    yield page, faults
    page.close()


@contextlib.contextmanager
def ran(browser, lab, name):
    """Open a notebook and run it from top to bottom; its kernel is a fresh one."""
    with opened(browser, lab, name) as (page, faults):
        run = "jupyterapp.commands.execute('notebook:run-all-cells').finally(() => window.ended = true)"
        page.evaluate(f"() => {{ {run} }}")
        page.wait_for_function("window.ended", timeout=150_000)
        yield page, faults


@pytest.fixture(scope="module")
def chapter(browser, lab):
    with ran(browser, lab, "chapter") as page_and_faults:
        yield page_and_faults


@pytest.fixture(scope="module")
def planted(browser, lab):
    with ran(browser, lab, "faults") as (page, _):
        yield page


# The checks: each returns what is wrong.


def run_faults(page):
    cells = page.evaluate("jupyterapp.shell.currentWidget.content.model.sharedModel.toJSON().cells")
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    faults = [f"not run: {cell['source']}" for cell in code if not cell["execution_count"]]
    faults += [f"stderr: {output['text']}" for output in outputs if output.get("name") == "stderr"]
    return faults + [output["ename"] for output in outputs if output["output_type"] == "error"]


def markdown_faults(page):
    """Markdown that is shown as it was written, and kinds of element that are not there."""
    shown = """cells => cells.map(cell => { const copy = cell.querySelector('.myst')?.cloneNode(true)
        copy?.querySelectorAll('.katex').forEach(e => e.remove())
        return copy?.textContent ?? 'not rendered' })"""
    raw = re.compile(r"[`:]{3,}|\{[\w-]+\}|^:[\w-]+:|\$|not rendered", re.MULTILINE)
    faults = raw.findall("\n".join(page.locator(".jp-MarkdownCell").evaluate_all(shown)))
    faults += page.locator(".myst .katex-error").all_inner_texts()
    kinds = "aside.myst-admonition", "aside.myst-exercise", "details.myst-exercise:not([open])", ".katex"
    return faults + [f"no {kind}" for kind in kinds if not page.locator(f".myst {kind}").count()]


def solution_faults(page):
    """Solutions whose source or output is open."""
    cells = page.evaluate(
        """jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.getMetadata('tags')?.includes('solution'))
        .map(cell => [cell.model.id, cell.inputHidden, cell.outputHidden, cell.outputArea.widgets.length])"""
    )
    faults = [f"the source of {id} is open" for id, source, _, _ in cells if not source]
    faults += [f"the output of {id} is open" for id, _, output, n in cells if not output and n]
    return faults or ["there is no solution"] * (not cells)


def exercise_numbers(page):
    """The numbers of exercises, as JupyterLab counts them."""
    words = " ".join(page.locator(".myst aside.myst-exercise").all_text_contents())
    return [int(number) for number in re.findall(r"Start of Exercise\s+(\d+)", words)]


def player_faults(player):
    """What stays when the slider is moved from the keyboard."""
    slider = player.locator("input")
    parts = {"picture": player.locator("svg").inner_html, "value": player.locator("output").text_content}
    parts |= {"sentence": player.locator("figcaption").text_content}
    parts |= {"spoken value": lambda: slider.get_attribute("aria-valuetext")}
    player.scroll_into_view_if_needed()
    before = {name: read() for name, read in parts.items()}
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    return [f"the {name} stays" for name, read in parts.items() if read() == before[name]]


def live_faults(page):
    """Does the figure under an ipywidgets slider stay when it is moved?"""
    cell = page.locator(".jp-CodeCell:has(.widget-slider)")
    source = lambda: cell.locator("img").evaluate_all("images => images.map(image => image.src)")
    before = source()
    cell.locator(".noUi-handle").first.press("ArrowRight")
    for _ in range(50):
        page.wait_for_timeout(100)
        if source() not in (before, []):
            return []
    return ["the figure stays"]


def lightness(locator):
    """Pixel values, sorted dark to light, of an element as it is drawn."""
    return sorted(Image.open(io.BytesIO(locator.screenshot())).convert("L").tobytes())


def dark_faults(page):
    """In the dark theme: words and marks that do not stand out from what is behind them, and dull pictures."""
    page.emulate_media(color_scheme="dark")
    page.wait_for_function("getComputedStyle(document.body).getPropertyValue('--jp-layout-color0') == '#111'")
    faults = page.evaluate(
        """() => { const style = getComputedStyle, rgb = color => color.match(/[\\d.]+/g).map(Number)
        const linear = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
        const light = ([r, g, b]) => 0.05 + 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
        const paper = e => { const c = rgb(style(e).backgroundColor); return c[3] === 0 ? paper(e.parentElement) : c }
        const faint = (e, color, least) => light(rgb(color)) / light(paper(e)) < least ? ['faint: ' + e.outerHTML] : []
        const all = selector => [...document.querySelectorAll(selector)]
        return all('.gdl-player :is(label, output, figcaption), .gdl-claim, .gdl-claim *')
          .flatMap(e => faint(e, style(e).color, 4.5))
          .concat(all('.gdl-player svg *').flatMap(e => faint(e, style(e).fill, e.tagName == 'text' ? 4.5 : 3))) }"""
    )
    for picture in page.locator(".jp-OutputArea-output img:visible, .gdl-player svg").all():
        values = lightness(picture)
        middle = values[len(values) // 2]
        faults += ["a dull picture"] * (max(values[-1] - middle, middle - values[0]) < 75)
    return faults


def unrun_faults(page):
    """In a notebook that nobody has trusted or run: players that show nothing, say nothing, or seem to move."""
    page.locator("figure.gdl-player").first.wait_for()
    faults = []
    for player in page.locator("figure.gdl-player").all():
        player.scroll_into_view_if_needed()
        pictures = player.locator("svg:visible, img:visible").all()
        drawn = len(pictures) == 1 and pictures[0].bounding_box()["height"] > 40
        faults += ["no picture"] * (not drawn or len(set(lightness(pictures[0]))) < 3)
        faults += ["no sentence"] * (len(player.locator("figcaption").text_content()) < 10)
        faults += ["stray words"] * player.locator("> div:visible:not(:has(svg, input))").count()
        faults += ["a script ran"] * player.locator("input").is_enabled()
    return faults


# A chapter


def test_chapter_runs_to_its_end(chapter):
    page, faults = chapter
    assert run_faults(page) + faults == []
    cells = nbformat.read(CHAPTER, as_version=4).cells
    claims = sum(len(re.findall("^check_claim", cell.source, re.MULTILINE)) for cell in cells)
    assert page.locator(".gdl-claim:visible").count() == claims > 0


def test_markdown_is_rendered(chapter):
    assert markdown_faults(chapter[0]) == []


def test_exercises_have_the_numbers_that_they_have_on_the_site(chapter):
    numbers = exercise_numbers(chapter[0])
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) >= 3


def test_player_moves(chapter):
    assert player_faults(chapter[0].locator("figure.gdl-player")) == []


def test_live_slider_draws_anew(chapter):
    assert live_faults(chapter[0]) == []


def test_chapter_is_readable_in_the_dark(chapter):
    assert dark_faults(chapter[0]) == []


def test_player_is_a_picture_and_solutions_are_folded_before_the_notebook_is_run(browser, lab):
    with opened(browser, lab, "unrun") as (page, faults):
        # JupyterLab opens an output when its cell is run; before that, solutions are folded with theirs.
        assert unrun_faults(page) + solution_faults(page) + faults == []


# Negative controls


def test_cell_that_raises_is_caught(planted):
    assert run_faults(planted) == ["not run: 'never reached'", "ZeroDivisionError"]


def test_raw_markdown_is_caught(planted):
    assert {"```", "{admonition}", ":class:", "no .katex"} <= set(markdown_faults(planted))


def test_open_solution_is_caught(planted):
    assert [fault.split()[1] for fault in solution_faults(planted)] == ["output"]


def test_dead_sliders_are_caught(planted):
    dead, light, keyless = planted.locator("figure.gdl-player").all()
    assert len(player_faults(dead)) == 4 and player_faults(light) == []
    assert "the value stays" in player_faults(keyless), "JupyterLab takes the arrow keys"
    assert live_faults(planted) == ["the figure stays"]


def test_dark_ink_on_a_dark_page_is_caught(planted):
    found = dark_faults(planted)
    for tag in ("<label", "<output", "<figcaption", "<text"):
        assert sum(fault.startswith(f"faint: {tag}") for fault in found) == 1, (
            "of three players one is at fault"
        )
    assert found.count("a dull picture") == 1


def test_player_without_picture_and_script_that_ran_are_caught(browser, lab, chapter):
    with opened(browser, lab, "blind") as (page, _):
        assert unrun_faults(page) == ["no picture", "stray words"]
    assert unrun_faults(chapter[0]) == ["a script ran"]
