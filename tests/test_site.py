"""The built site in a real Chromium, served under a sub-path as GitHub Pages serves it. Build it first: ``make book``.

Each check is a function that returns a list of faults. The last part of this file plants a fault for most of them.
"""

import base64
import contextlib
import gzip
import io
import json
import logging
import re
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import axe_playwright_python
import gdl_networks
import nbformat
import numpy as np
import page_networks
import pytest
import torch
import yaml
from docutils import nodes
from gdl_opening import two_orders
from gdl_panels import parted
from gdl_site import how_to_get_it, keep_together, link_page, repository
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits
from sphinx.util.logging import getLogger

from gdl_utils.data import rotate
from gdl_utils.figures import polygon

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
PREFIX = "/some/repo/"


def toc_pages():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


PAGES = [f"{page}.html" for page in toc_pages()]
CHAPTERS = [f"{page}.html" for page in toc_pages() if (ROOT / f"{page}.ipynb").exists()]
every_page = pytest.mark.parametrize("path", [*PAGES, "search.html"])
every_chapter = pytest.mark.parametrize("path", CHAPTERS)


class Quiet(SimpleHTTPRequestHandler):
    def translate_path(self, path):
        if not path.startswith(PREFIX):  # a link that forgets the sub-path finds nothing, as on Pages
            return str(Path(self.directory) / "outside-of-the-sub-path")
        return super().translate_path("/" + path.removeprefix(PREFIX))

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serve(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{PREFIX}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def site():
    if not (HTML / "book" / "index.html").exists():
        pytest.fail("there is no built site in _build/html; run: make book")
    with serve(HTML) as url:
        yield url


@pytest.fixture
def open_page(browser):
    """Open an address; return the page, and a list that fills with faults as the page lives."""
    contexts = []

    def opened(url, **options):
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        page, faults, host = contexts[-1].new_page(), [], urlsplit(url).netloc
        page.set_default_timeout(15_000)
        # Nothing leaves this machine: a foreign request is noted, and goes no further.
        page.route(
            lambda address: foreign(address, host),
            lambda route: (faults.append(f"foreign request: {route.request.url}"), route.abort()),
        )
        page.on(
            "console",
            lambda message: faults.append(f"console: {message.text}") if message.type == "error" else None,
        )
        page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
        page.on("response", lambda r: faults.append(f"{r.status}: {r.url}") if r.status >= 400 else None)
        page.goto(url, wait_until="load")
        if options.get("java_script_enabled", True):
            page.evaluate(
                "async () => { if (window.MathJax && MathJax.startup) await MathJax.startup.promise }"
            )
        return page, faults

    yield opened
    for context in contexts:
        context.close()


# The checks: each returns what is wrong.


def foreign(address, host):
    parts = urlsplit(address)
    return parts.scheme not in ("data", "blob", "about", "file") and parts.netloc != host


def math_faults(page):
    return page.evaluate(
        """() => [...document.querySelectorAll('mjx-merror')].map(e => 'MathJax could not read ' + e.textContent).concat(
        [...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')).map(e => 'not typeset: ' + e.textContent))"""
    )


def overflow_faults(page):
    """What sticks out on the right of a page that scrolls sideways."""
    return page.evaluate(
        """() => { const width = window.innerWidth, root = document.documentElement
        if (root.scrollWidth <= width) return []
        return ['page is ' + root.scrollWidth + ' wide on ' + width].concat([...document.querySelectorAll('body *')]
          .filter(e => e.getBoundingClientRect().right > width + 1).slice(0, 5).map(e => e.outerHTML.slice(0, 100))) }"""
    )


def light_card_faults(page):
    """Light backgrounds on or around the players and claims of a dark page."""
    return page.evaluate(
        """() => { const faults = []
        for (const start of document.querySelectorAll('figure.gdl-player, div.gdl-claim'))
          for (let e = start; e; e = e.parentElement) {
            const [r, g, b, a = 1] = getComputedStyle(e).backgroundColor.match(/[\\d.]+/g).map(Number)
            if (a > 0 && (r + g + b) / 3 > 96) faults.push((start.id || start.className) + ' lies on a light ' + (e.className || e.tagName))
          }
        return faults }"""
    )


def table_faults(page):
    """Tables that stand there as their source."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.bd-article p')].map(e => e.textContent.trim())
        .filter(text => /^\\|.*\\|[^]*\\|$/.test(text)).map(text => 'no table: ' + text.slice(0, 80))"""
    )


def axe_faults(page):
    # Colours that are still fading in would be measured half way.
    page.add_style_tag(content="*, ::before, ::after { transition: none !important }")
    page.evaluate(AXE)
    violations = page.evaluate("axe.run(document)")["violations"]
    # One fault is the theme's own, on every page: the book's title above the sidebar stands outside of all landmarks.
    return [
        f"{v['id']} ({v['help']}): {node['html'][:160]}"
        for v in violations
        for node in v["nodes"]
        if not (v["id"] == "region" and "navbar-brand logo" in node["html"])
    ]


OPEN_ALL = """document.querySelectorAll('details').forEach(e => e.open = true)
document.querySelectorAll('.toggle-hidden').forEach(e => e.classList.remove('toggle-hidden'))"""
BLOCKS = ".bd-article :is(pre, .cell_output .output, .gdl-claim, .pst-scrollable-table-container, div.math)"
LONGEST_LINE = 84  # of code, as the formatter has it, and of what is printed


def sideways_faults(page):
    """Blocks that scroll sideways, all folds opened; and lines that need not be wrapped and are."""
    page.evaluate(OPEN_ALL)
    faults = page.evaluate(
        """selector => [...document.querySelectorAll(selector)]
        .filter(e => e.checkVisibility() && e.scrollWidth > e.clientWidth + 1 && !e.matches('.output:has(pre)'))
        .map(e => 'scrolls: ' + e.textContent.trim().slice(0, 80))""",
        BLOCKS,
    )
    page.add_style_tag(content=".bd-article pre { white-space: pre !important; }")
    return faults + page.evaluate(
        """longest => [...document.querySelectorAll('.bd-article :is(.cell_input, .cell_output) pre')].flatMap(e => {
        const style = getComputedStyle(e), room = e.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)
        const ruler = Object.assign(document.createElement('span'), {textContent: 'x'.repeat(longest)})
        e.append(ruler); const wide = ruler.getBoundingClientRect().width; ruler.remove()
        return e.checkVisibility() && wide > room + 1 ? ['no room for ' + longest + ' characters: ' + e.textContent.slice(0, 60)] : [] })""",
        LONGEST_LINE,
    )


def small_print_faults(page):
    """Figures that are drawn so much smaller than they were made that their words, of 11 points at 110 dpi, shrink below 10 px."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.cell_output img')].filter(e => e.checkVisibility() && e.width / e.naturalWidth < 0.6)
        .map(e => Math.round(100 * e.width / e.naturalWidth) + ' % of its size: ' + e.alt.slice(0, 80))"""
    )


def panel_faults(page):
    """On a phone: panels whose words shrink though there is room, and pictures that are shown whole and in panels, or not at all."""
    return page.evaluate(
        """() => [...document.querySelectorAll('.gdl-panels')].flatMap(e => {
        const whole = e.previousElementSibling, shown = [...e.children].filter(panel => panel.checkVisibility()), faults = []
        if (whole.checkVisibility() == shown.length > 0) faults.push('shown ' + (shown.length ? 'twice: ' : 'never: ') + whole.alt.slice(0, 60))
        for (const panel of shown) {
          const picture = panel.firstChild, style = getComputedStyle(panel), part = style.getPropertyValue('--stop') - style.getPropertyValue('--start')
          const box = panel.getBoundingClientRect(), scale = box.width / part
          if (scale < 0.6 && box.width < e.clientWidth - 1) faults.push(Math.round(100 * scale) + ' % of its size: ' + whole.alt.slice(0, 60))
          if (Math.abs(picture.getBoundingClientRect().left + scale * style.getPropertyValue('--start') - box.left) > 1) faults.push('another part: ' + whole.alt.slice(0, 60)) }
        return faults })"""
    )


def on_paper(page):
    """Show a page as it is printed; two frames later its scripts have noticed."""
    page.emulate_media(media="print")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def print_faults(page):
    """On paper, as wide as A4 between the margins of ``make pdf``: code or a table that is clipped, solutions, folded code, dark grounds and light ink."""
    page.set_viewport_size({"width": 673, "height": 1000})
    page.evaluate("document.querySelectorAll('details').forEach(e => e.open = false)")
    on_paper(page)
    return page.evaluate(
        r"""() => { const article = document.querySelector('.bd-article'), faults = []
        const shown = selector => [...article.querySelectorAll(selector)].filter(e => e.checkVisibility({contentVisibilityAuto: true}))
        const light = color => { const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number); return a ? a * (r + g + b) / 3 + (1 - a) * 255 : null }
        for (const e of shown('pre, .pst-scrollable-table-container, div.math, .cell_output .output'))
          if (e.scrollWidth > e.clientWidth + 1) faults.push('clipped: ' + e.textContent.trim().slice(0, 60))
        for (const e of shown('pre'))
          if (getComputedStyle(e).maxHeight != 'none') faults.push('cut off: ' + e.textContent.trim().slice(0, 60))
        for (const e of shown('.solution, .admonition.dropdown, .tag_solution')) faults.push('a solution: ' + e.textContent.trim().slice(0, 60))
        for (const e of shown('details.hide > summary, .copybtn, .toggle-button')) faults.push('a button: ' + e.textContent.trim())
        for (const e of article.querySelectorAll('details.hide pre'))
          if (!e.closest('.solution') && (!e.checkVisibility() || !e.getBoundingClientRect().height)) faults.push('folded: ' + e.textContent.trim().slice(0, 60))
        for (const e of [document.documentElement, document.body, ...shown('*')]) {
          if (e.closest('svg, mjx-container')) continue
          const style = getComputedStyle(e), ground = light(style.backgroundColor), ink = light(style.color)
          if (ground !== null && ground < 200) faults.push('a dark ground: ' + e.outerHTML.slice(0, 80))
          if ([...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()) && ink > 150 && !e.closest('.sd-btn'))
            faults.push('light ink: ' + e.outerHTML.slice(0, 80)) }
        return [...new Set(faults)] }"""
    )


def first_screen_faults(page):
    """Where a page opens with a player, before its first section: picture and slider must be in the first screen."""
    return page.evaluate(
        """() => { const first = document.querySelector('.bd-article :is(.cell_output img, figure.gdl-player)')
        const section = document.querySelector('.bd-article h2')
        const later = section && first && section.compareDocumentPosition(first) & Node.DOCUMENT_POSITION_FOLLOWING
        if (!first?.matches('figure') || later) return []
        return [...first.querySelectorAll('svg, input, figcaption')].filter(e => e.getBoundingClientRect().bottom > window.innerHeight)
          .map(e => e.tagName + ' ends at ' + Math.round(e.getBoundingClientRect().bottom) + ' of ' + window.innerHeight) }"""
    )


def lightness(locator):
    """Pixel values, sorted dark to light, of an element as it is drawn."""
    image = Image.open(io.BytesIO(locator.screenshot())).convert("L")
    return sorted(image.tobytes())


def exercise_faults(page):
    """Exercises count from one, and each has its solution."""
    title = lambda kind: page.locator(f".{kind} > .admonition-title").all_inner_texts()
    numbers = [int(re.search(r"Exercise (\d+)", words)[1]) for words in title("exercise")]
    solved = [int(re.search(r"Exercise (\d+)", words)[1]) for words in title("solution")]
    return [] if numbers == solved == list(range(1, len(numbers) + 1)) else [f"{numbers}, solved {solved}"]


def icon_faults(page):
    icon = page.locator("link[rel~=icon]").get_attribute("href")
    answer = page.request.get(urljoin(page.url, icon))
    return [] if answer.ok and answer.headers["content-type"].startswith("image/svg") else [f"icon {icon}"]


def download_faults(page, path):
    """The notebook that a reader downloads is ours, after a cell that says how to get its package."""
    link = page.locator("a.btn-download-source-button").get_attribute("href")
    got = nbformat.reads(page.request.get(urljoin(page.url, link)).text(), as_version=4)
    nbformat.validate(got)
    source = nbformat.read(ROOT / Path(path).with_suffix(".ipynb"), as_version=4)
    same = got.cells[0] == how_to_get_it(source, repository(ROOT)) and got.cells[1:] == source.cells
    return [] if same else [f"{link} is another notebook"]


def weight_faults(page, path, folder=HTML):
    """What was fetched for a page, compressed as a server does: its own, and what all pages share."""
    sizes = {"own": 0, "shared": 0}
    names = page.evaluate("() => performance.getEntriesByType('resource').map(entry => entry.name)")
    for address in {path, *(unquote(urlsplit(name).path).removeprefix(PREFIX) for name in names)}:
        kind = "own" if address == path or address.startswith("_images/") else "shared"
        sizes[kind] += len(gzip.compress((folder / address).read_bytes()))
    print(path, {kind: f"{size / 1000:.0f} KB" for kind, size in sizes.items()})
    limits = {"own": 400_000, "shared": 1_300_000}
    return [f"{kind}: {sizes[kind]:,} bytes" for kind, limit in limits.items() if sizes[kind] > limit]


def dark_faults(page):
    """A light ground, cards or pictures on a dark page; pictures whose colours are what is shown keep them."""
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    faults = [f"the ground is {ground}"] * (max(map(int, re.findall(r"\d+", ground)[:3])) >= 60)
    for picture in page.locator(".cell_output img:not(.dark-light):visible, figure.gdl-player svg").all():
        values = lightness(picture)
        faults += ["a light picture"] * (values[len(values) // 2] >= 90)
        faults += ["dark ink"] * (values[-len(values) // 200] <= 120)
    return faults + light_card_faults(page)


def navigation_faults(page):
    """On paper: parts that lead elsewhere, a title that has gone."""
    on_paper(page)
    parts = ".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .prev-next-footer, .gdl-controls"
    faults = [f"{e.get_attribute('class')} is printed" for e in page.locator(parts).all() if e.is_visible()]
    title = page.locator("h1").first
    return faults + ["no title"] * (title.count() > 0 and not title.is_visible())


def named(**faults):
    """The checks that found something. To load a page takes longer than to check it, so one load serves several."""
    return {name: found for name, found in faults.items() if found}


# Every page


@every_page
def test_page_on_a_laptop(site, open_page, path):
    page, errors = open_page(site + path, viewport={"width": 1280, "height": 720})
    first_screen = first_screen_faults(page)
    page.mouse.wheel(0, 100_000)
    page.wait_for_load_state("networkidle")
    found = named(
        errors=[*errors],  # before the accessibility check, which looks for files of its own
        first_screen=first_screen,
        icon=icon_faults(page),
        weight=weight_faults(page, path),
        math=math_faults(page),
        tables=table_faults(page),
        figures=small_print_faults(page),
        accessible=axe_faults(page),
        wide=overflow_faults(page),
        sideways=sideways_faults(page),  # the last one: it opens all folds
    )
    assert found == {}


@every_page
def test_page_in_the_dark_and_on_paper(site, open_page, path):
    page, _ = open_page(site + path, color_scheme="dark")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    found = named(
        accessible=axe_faults(page),
        dark=dark_faults(page),
        navigation=navigation_faults(page),
        paper=[] if path == "search.html" else print_faults(page),  # nobody prints the search
    )
    assert found == {}


@every_page
def test_phone_does_not_scroll_sideways(site, open_page, path):
    page, _ = open_page(site + path, viewport={"width": 390, "height": 740}, has_touch=True)
    for width in (390, 360):
        page.set_viewport_size({"width": width, "height": 740})
        assert named(wide=overflow_faults(page), panels=panel_faults(page)) == {}
    on_paper(page)
    assert panel_faults(page) == [] and not page.locator(".gdl-panels:visible").count()
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1280, "height": 720})
    assert panel_faults(page) == [] and not page.locator(".gdl-panels:visible").count()


def test_a_figure_is_parted_between_its_panels_only(tmp_path):
    def edges(width, *ink):
        picture = Image.new("RGB", (width, 100), "white")
        for start, stop in ink:
            ImageDraw.Draw(picture).rectangle((start, 20, stop - 1, 80), fill="black")
        picture.save(path := tmp_path / "x.png")
        return parted(path)

    numbers = ((10, 30), (37, 200))  # beside an axis
    assert edges(700, *numbers, (210, 400), (430, 690)) == [0, 205, 415, 700]
    assert edges(700, (10, 40), (60, 340), (360, 600), (640, 690)) == [0, 350, 620, 700]
    assert edges(700, (10, 40), (60, 640), (660, 690)) == [
        0,
        700,
    ]  # neither a label nor a short legend is a panel
    assert edges(700, (10, 690)) == [0, 700]
    assert edges(600, *numbers, (210, 400), (430, 590)) == [0, 600]  # can be read as it is


# Chapters


@pytest.mark.parametrize("known", [None, "someone/a-book"])
@pytest.mark.parametrize("code", ["import torch", "open('../experiments/x.json')"])
def test_the_first_cell_names_no_address_that_nobody_gave(known, code):
    cell = how_to_get_it(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)]), known)
    assert cell.cell_type == "markdown" and "gdl_utils" in cell.source
    addresses = re.findall(r"https?://[^\s`]+", cell.source)
    assert addresses == (["https://github.com/someone/a-book"] * (2 if "../" in code else 1) if known else [])
    assert ("pip install git+" in cell.source) == bool(known) and "pip install" in cell.source
    assert ("in the folder `book`" in cell.source) == ("../" in code)


@pytest.mark.parametrize("said", [[], ["cannot be read", "nor this"]])
def test_warnings_of_a_page_that_is_linked_elsewhere_come_back(said, monkeypatch):
    monkeypatch.setattr(
        logging.getLogger("sphinx"), "handlers", []
    )  # which a process of the pool has for itself
    one = lambda page, *, where: [getLogger("x").warning(words, location=where) for words in said]
    found = link_page(one, ("page",), {"where": "book/x"})
    assert [(words, details["location"]) for words, details in found] == [(words, "book/x") for words in said]


def test_numbers_and_commas_are_kept_where_they_belong_and_code_is_left_alone():
    entries = [
        nodes.entry("", nodes.paragraph("", text))
        for text in ("0.83 ± 0.02", "3 networks that agree", "plain")
    ]
    table = nodes.table("", nodes.tgroup("", nodes.tbody("", nodes.row("", *entries))))
    line = nodes.paragraph("", "", nodes.Text("of 3 × 3 pixels, "), nodes.math("", "x"), nodes.Text(", and "))
    line += [nodes.math("", "y"), nodes.Text(" alone "), nodes.literal("", "3 × 3")]
    page = nodes.container("", table, line)
    keep_together(None, page, "page")
    assert ["gdl-number" in entry["classes"] for entry in entries] == [True, False, False]
    assert [together.astext() for together in page.findall(nodes.inline)] == ["x,"]
    assert page.astext().count("3\u00a0×\u00a03") == 1 and page.astext().endswith("3 × 3")
    entries[0]["classes"], entries[2][0][0] = [], nodes.Text("w" * 80)  # now there is no room
    keep_together(None, page, "page")
    assert entries[0]["classes"] == []


def state(player):
    parts = ("input", "aria-valuetext"), ("output", None), ("figcaption", None), ("svg", None)
    return [player.locator(p).get_attribute(a) if a else player.locator(p).inner_html() for p, a in parts]


def moves(player):
    """Faults of one player that is moved by keyboard, then by mouse."""
    faults, slider, before = [], player.locator("input"), state(player)
    if not before[0] or before[1] != before[0]:
        faults.append("the slider does not say the value that the page shows")
    drawn = player.locator("svg").screenshot()
    for how in ("keyboard", "mouse"):
        if how == "keyboard":
            slider.focus()
            for _ in range(3):
                slider.press(
                    "ArrowRight" if slider.input_value() != slider.get_attribute("max") else "ArrowLeft"
                )
        else:
            box = slider.bounding_box()
            at = int(slider.input_value()) / int(slider.get_attribute("max"))
            slider.click(position={"x": box["width"] * (0.1 if at > 0.5 else 0.9), "y": box["height"] / 2})
        names, after = ("spoken value", "shown value", "sentence", "picture"), state(player)
        faults += [
            f"{how}: the {name} stays"
            for name, old, new in zip(names, before, after, strict=True)
            if old == new
        ]
        before = after
    return faults + ["nothing else is drawn"] * (drawn == player.locator("svg").screenshot())


@every_chapter
def test_chapter_has_players_that_move_exercises_math_and_a_notebook(site, open_page, path):
    page, errors = open_page(site + path)
    players = page.locator("figure.gdl-player").all()
    assert players, "a chapter has a player"
    for player in players:
        assert int(player.locator("input").get_attribute("max")) >= 19, "a player has 20 frames or more"
    assert page.locator("mjx-container").count() > 0
    found = named(
        players=[fault for player in players for fault in moves(player)],
        exercises=exercise_faults(page),
        download=download_faults(page, path),
        cards=unlinked_cards(page),
        errors=errors,
    )
    assert found == {}


@every_chapter
def test_player_is_a_picture_without_script(site, open_page, path):
    page, _ = open_page(site + path, java_script_enabled=False)
    for player in page.locator("figure.gdl-player").all():
        assert player.locator("svg").bounding_box()["height"] > 40
        assert len(set(lightness(player.locator("svg")))) > 1, "an empty picture"
        assert len(player.locator("figcaption").inner_text()) > 10
        assert player.locator("input").is_disabled(), "a slider that moves nothing must not look as if it did"


@pytest.mark.parametrize("wide, high", [(1280, 720), (1920, 810), (1440, 1080)])
def test_slides_come_one_at_a_time_and_fit_the_screen(site, open_page, wide, high):
    page, faults = open_page(site + "book/slides.html", viewport={"width": wide, "height": high})
    slides = page.locator("article > section > section")
    page.click(".gdl-present")
    page.wait_for_function("document.fullscreenElement")
    shown = lambda: [k for k in range(slides.count()) if slides.nth(k).is_visible()]
    for k in range(slides.count()):
        assert shown() == [k]
        assert page.locator(".gdl-notes:visible, h1:visible, .gdl-present:visible").count() == 0
        size = "(({scrollWidth: w, scrollHeight: h}) => [w, h])(document.fullscreenElement)"
        assert page.evaluate(size) == [wide, high], slides.nth(k).get_attribute("id")
        letters = "e => parseFloat(getComputedStyle(e).fontSize)"
        assert all(code.evaluate(letters) > 20 for code in slides.nth(k).locator("pre").all())
        page.keyboard.press("ArrowRight")
    assert shown() == [slides.count() - 1]  # the last one stays
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    slides.nth(1).locator("input").focus()
    page.keyboard.press("ArrowRight")  # moves the slider, and no slide
    assert shown() == [1]
    page.keyboard.press("PageDown")  # a presenter's button goes on
    slides.nth(1).locator("input").wait_for(state="hidden")
    page.keyboard.press("ArrowLeft")
    slides.nth(1).locator("input").click()  # after the mouse the keys are the slides' again
    page.keyboard.press("ArrowRight")
    assert shown() == [2] and faults == []


def test_search_finds_the_chapters(site, open_page):
    page, faults = open_page(site + "search.html?q=equivariant")
    for path in CHAPTERS:
        page.wait_for_selector(f"#search-results a[href*='{path}']", state="attached")
    assert faults == []


def test_claims_lead_to_their_cells(site, open_page):
    page, faults = open_page(site + "book/claims.html")
    links = page.locator(".gdl-claim .gdl-source a").all()
    assert links
    ids = lambda: {card.get_attribute("id") for card in page.locator("div.gdl-claim").all()}
    listed, led_to = ids(), {}
    for link in links:
        chapter, _, card = link.get_attribute("href").partition("#")
        led_to.setdefault(chapter, set()).add(card)
    for chapter, cards in led_to.items():
        page.goto(site + "book/" + chapter)
        assert cards <= ids() <= listed, chapter
    assert faults == []


def unlinked_cards(page):
    """Ids of the cards whose number does not lead to the card on the page of claims."""
    return page.evaluate(
        """() => [...document.querySelectorAll('div.gdl-claim')].map(card => card.id)
        .filter(id => !document.querySelector(`#${id} p strong a[href="claims.html#${id}"]`))"""
    )


@every_chapter
def test_chapter_opens_from_disk(site, open_page, path):
    page, faults = open_page((HTML / path).as_uri())
    for player in page.locator("figure.gdl-player").all():
        assert moves(player) == []
    assert math_faults(page) == []
    assert faults == []


# The first page


def marks(frame):
    """Points of all marks of a frame, by role."""
    found = {}
    for role, d in re.findall(r'<path class="(\w+)" d="([^"]*)"', frame):
        found.setdefault(role, []).append(np.array(re.findall(r"(-?[\d.]+) (-?[\d.]+)", d), dtype=float))
    return {role: np.concatenate(points) for role, points in found.items()}


def opening_player_faults(player):
    """The opening: at 0° both lie on one another; the picture has no empty band, and nothing lies outside of it."""
    first, last = marks(player.frames[0]), marks(player.frames[-1])
    faults = ["does not start at 0°"] * (player.start != 0 or player.values[0] != "0°")
    faults += ["at 0° the two differ"] * (not np.array_equal(first["signal"], first["moved"]))
    faults += ["at the end the two agree"] * bool(np.array_equal(last["signal"], last["moved"]))
    everything = np.concatenate([points for frame in player.frames for points in marks(frame).values()])
    for axis, size in enumerate(player.size):
        low, high = everything[:, axis].min(), size - everything[:, axis].max()
        if min(low, high) < 0 or low + high > 0.1 * size:
            faults.append(f"axis {axis}: {low:.0f} and {high:.0f} of {size} empty")
    return faults


def read_as(outline):
    """The digits to which a filled outline is nearest, of 1,797 that people wrote: the ten nearest, blurred alike."""
    draw = ImageDraw.Draw(image := Image.new("L", (160, 160)))
    low, high = outline.min(0), outline.max(0)
    scale = 160 / (high - low).max()
    draw.polygon([tuple(p) for p in (outline - (low + high) / 2) * scale + 80], fill=255)
    seen = np.asarray(image.resize((8, 8), Image.Resampling.BOX), dtype=float).ravel()
    written = load_digits()
    likeness = written.data @ seen / np.linalg.norm(written.data, axis=1) / np.linalg.norm(seen)
    return written.target[np.argsort(-likeness)[:10]].tolist()


def test_the_opening_starts_at_zero_and_fills_its_picture():
    assert opening_player_faults(two_orders()) == []


def test_the_opening_reads_as_a_3():
    three = marks(two_orders().frames[0])["signal"]
    assert read_as(three).count(3) >= 8
    assert read_as(three * [-1, 1]).count(3) <= 2  # its mirror image does not
    assert marks(two_orders().frames[-1])["signal"].shape == three.shape


def test_an_opening_with_a_fault_is_caught():
    good = two_orders()
    frames = [polygon([[(0, 0), (416, 0), (416, 302)]], role) for role in ("signal", "moved")]
    shifted = polygon([[(9, 0), (416, 0), (416, 302)]], "moved")
    bad = {
        "does not start": replace(good, start=3),
        "0° the two differ": replace(good, frames=[frames[0] + shifted, *good.frames[1:]]),
        "end the two agree": replace(good, frames=[*good.frames[:-1], frames[0] + frames[1]]),
        "empty": replace(good, size=(640, 302)),
        "-": replace(good, size=(380, 302)),
    }
    for word, player in bad.items():
        assert any(word in fault for fault in opening_player_faults(player)), word


def test_the_first_page_shows_it(site, open_page):
    page, faults = open_page(site + "book/index.html", viewport={"width": 1280, "height": 720})
    player = page.locator(".gdl-opening figure.gdl-player")
    assert player.count() == 1 and player.locator("output").inner_text() == "0°"
    assert moves(player) == [] and faults == []


@pytest.fixture(scope="module")
def networks():
    """The content of the page's networks, and the networks that torch makes of it."""
    content = json.loads(gdl_networks.WEIGHTS.read_text(encoding="utf-8"))
    return content, [page_networks.read(spec) for spec in content["records"]]


def written(networks, digit):
    """One of the digits that a reader can take, with values from 0 to 1."""
    pixels = np.frombuffer(base64.b64decode(networks[0]["settings"]["digits"][digit]), np.uint8).reshape(
        28, 28
    )
    return torch.from_numpy(pixels.astype(np.float32) / 255)


def test_the_page_s_networks_give_torch_s_scores(site, open_page, networks):
    page, faults = open_page(site + "book/index.html")
    turned = [rotate(written(networks, digit), angle) for digit in range(10) for angle in range(0, 360, 36)]
    pixels = [image.flatten().tolist() for image in turned]
    for spec, model in zip(networks[0]["records"], networks[1], strict=True):
        with torch.no_grad():
            wanted = model(torch.stack(turned)[:, None])
        found = page.evaluate(
            "([spec, pixels]) => pixels.map(p => [...gdlNetwork(spec)(Float32Array.from(p))])", [spec, pixels]
        )
        assert torch.allclose(torch.tensor(found), wanted, rtol=0, atol=1e-4), spec["name"]
        # The control: the same network, and the same pictures lying on their side.
        with torch.no_grad():
            aside = model(torch.stack(turned)[:, None].transpose(2, 3))
        assert not torch.allclose(torch.tensor(found), aside, rtol=0, atol=1e-2), spec["name"]
    assert faults == []


def said_by(networks, digit, degrees):
    """The sentence that the page has to say."""
    parts = []
    for spec, model in zip(networks[0]["records"], networks[1], strict=True):
        with torch.no_grad():
            p = model(rotate(written(networks, digit), degrees)[None, None])[0].softmax(0)
        parts.append(f"{spec['name']} says {int(p.argmax())} ({100 * float(p.max()):.0f} %)")
    return f"Turned by {degrees}°: {', '.join(parts)}."


def test_a_digit_is_taken_and_turned(site, open_page, networks):
    page, faults = open_page(site + "book/index.html", viewport={"width": 1280, "height": 720})
    figure = page.locator("figure.gdl-networks")
    status, slider = figure.get_by_role("status"), figure.locator("input")
    assert status.inner_text() == said_by(networks, 3, 0)
    for part in ("canvas", ".ring", "input", ".readers svg"):
        box = figure.locator(part).first.bounding_box()
        assert box["y"] + box["height"] <= 720, f"{part} is not in the first screen"
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert figure.locator(".degrees").inner_text() == "5°" and status.inner_text() == said_by(networks, 3, 5)
    assert slider.get_attribute("aria-valuetext") == status.inner_text()
    figure.locator("select").select_option("7")
    assert status.inner_text() == said_by(networks, 7, 0)
    for degrees in (45, 90, 230):
        slider.fill(str(degrees))
        assert status.inner_text() == said_by(networks, 7, degrees)
    upright, quarter = (said_by(networks, 7, degrees).rpartition("p4")[2] for degrees in (0, 90))
    assert upright == quarter  # built in
    # The round of p4 is the same at each quarter-turn, that of the plain network is not.
    page.wait_for_function(
        "() => [...document.querySelectorAll('.gdl-networks polygon')].every(p => p.points.length === 32)"
    )
    rounds = [
        np.array(re.findall(r"-?[\d.]+", p.get_attribute("points")), dtype=float).reshape(4, 8, 2)
        for p in figure.locator("polygon").all()
    ]
    petals = [np.linalg.norm(points, axis=2) for points in rounds]
    spreads = [float(np.ptp(lengths, axis=0).max()) for lengths in petals]
    assert spreads[2] <= 0.2 and spreads[0] > 10, spreads  # of 50, with one digit after the point
    assert faults == []


HEARD = """figure => { const slider = figure.querySelector("input"), words = figure.querySelector("[role='status']")
window.heard = []
new MutationObserver(() => document.activeElement === slider && heard.push(slider.getAttribute("aria-valuetext")))
  .observe(slider, {attributeFilter: ["aria-valuetext"]})
new MutationObserver(() => words.getAttribute("aria-live") === "off" || heard.push(words.textContent))
  .observe(words, {childList: true}) }"""


def heard(page):
    """What a screen reader has spoken since: the value of a slider that has the focus, and sentences that are live."""
    return page.evaluate("() => new Promise(done => setTimeout(() => done(heard.splice(0))))")


def test_a_change_is_heard_once(site, open_page, networks):
    page, _ = open_page(site + "book/index.html")
    figure = page.locator("figure.gdl-networks")
    slider, choice = figure.locator("input"), figure.locator("select")
    figure.evaluate(HEARD)
    assert slider.get_attribute("aria-valuetext") == figure.get_by_role("status").inner_text()
    for move in range(1, 3):
        slider.press("ArrowRight")
        assert heard(page) == [said_by(networks, 3, 5 * move)]
    for digit in (7, 8):
        choice.focus()
        choice.select_option(str(digit))
        assert heard(page) == [said_by(networks, digit, 0)]
    draw(page, figure.locator("canvas"), STROKES["1"][0])
    assert heard(page) == [figure.get_by_role("status").inner_text()]
    # The control: a sentence that is live all the time.
    figure.get_by_role("status").evaluate(
        "e => { e.setAttribute = () => {}; e.removeAttribute('aria-live') }"
    )
    slider.press("ArrowRight")
    assert len(heard(page)) == 2


def draw(page, board, points):
    """A stroke along points in the unit square, with a mouse or a pen."""
    box = board.bounding_box()
    place = lambda point: (box["x"] + point[0] * box["width"], box["y"] + point[1] * box["height"])
    page.mouse.move(*place(points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*place(point), steps=8)
    page.mouse.up()


def touch(page, board, points):
    """The same with a finger; a browser that scrolls instead takes the pointer away."""
    box, session = board.bounding_box(), page.context.new_cdp_session(page)
    places = [{"x": box["x"] + u * box["width"], "y": box["y"] + v * box["height"]} for u, v in points]
    steps = [{key: (1 - t) * a[key] + t * b[key] for key in a} for a, b in pairwise(places) for t in (0.5, 1)]
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": places[:1]})
    for step in steps:
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [step]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def round_the_middle(*degrees, radius=0.45):
    """Points of the unit square at angles counter-clockwise, the first one on the right."""
    turns = np.radians(degrees)
    return np.stack([0.5 + radius * np.cos(turns), 0.5 - radius * np.sin(turns)], axis=1).tolist()


LAPTOP, PHONE = {"width": 1280, "height": 720}, {"width": 390, "height": 740}


@pytest.mark.parametrize("how, viewport", [(draw, LAPTOP), (touch, PHONE)])
@pytest.mark.parametrize("dial", [".board", ".reader:nth-child(2) svg"])
def test_a_digit_is_turned_by_dragging(site, open_page, networks, how, viewport, dial):
    page, faults = open_page(site + "book/index.html", viewport=viewport, has_touch=how is touch)
    figure = page.locator("figure.gdl-networks")
    figure.locator(dial).evaluate("e => e.scrollIntoView({block: 'center', behavior: 'instant'})")
    status, slider, scrolled = figure.get_by_role("status"), figure.locator("input"), "[scrollX, scrollY]"
    knobs, before, start = figure.locator(f"{dial} .knob"), page.evaluate(scrolled), said_by(networks, 3, 0)
    assert knobs.count() == 1 and status.inner_text() == start
    box, around = knobs.bounding_box(), figure.locator(dial).bounding_box()
    at = [(box["x"] + box["width"] / 2 - around["x"]) / around["width"], 0.5]  # at 0° it is on the right
    how(page, figure.locator(dial), [at, *round_the_middle(30, 60, 91)])
    assert status.inner_text() == said_by(networks, 3, 90)
    box = knobs.bounding_box()
    assert box["y"] + box["height"] / 2 < around["y"] + 0.2 * around["height"], "the handle goes along"
    how(page, figure.locator(dial), round_the_middle(90, 200, 270, 359))
    assert status.inner_text() == start  # and not 360°
    how(page, figure.locator(dial), round_the_middle(45, 44))
    assert slider.input_value() == "45" and page.evaluate(scrolled) == before
    page.keyboard.press("ArrowLeft")  # the slider has the focus
    assert status.inner_text() == said_by(networks, 3, 40) == slider.get_attribute("aria-valuetext")
    # On the canvas the same way draws, and turns nothing.
    how(page, figure.locator("canvas"), STROKES["1"][0])
    assert re.findall(r"says (\d)", status.inner_text()) == ["1"] * 3 and slider.input_value() == "0"
    assert faults == []


STROKES = {
    "7": [[(0.3, 0.2), (0.7, 0.2), (0.5, 0.85)]],
    "1": [[(0.5, 0.15), (0.5, 0.85)]],
    "3": [
        [(0.35, 0.2), (0.5, 0.15), (0.62, 0.25), (0.6, 0.4), (0.45, 0.47)],
        [(0.45, 0.47), (0.62, 0.55), (0.65, 0.72), (0.5, 0.83), (0.33, 0.78)],
    ],
}


@pytest.mark.parametrize("digit", STROKES)
def test_a_digit_is_drawn_and_read(site, open_page, digit):
    page, faults = open_page(site + "book/index.html")
    figure = page.locator("figure.gdl-networks")
    figure.locator("input").fill("90")  # drawing begins upright
    for stroke in STROKES[digit]:
        draw(page, figure.locator("canvas"), stroke)
    words = figure.get_by_role("status").inner_text()
    assert words.startswith("Turned by 0°: ") and words.count(f"says {digit}") == 3, words
    figure.get_by_role("button", name="draw one").click()
    assert lightness(figure.locator("canvas"))[0] > 190  # an empty board and its line
    assert faults == []


def test_a_small_or_a_shifted_drawing_is_the_same_to_the_networks(site, open_page):
    page, _ = open_page(site + "book/index.html")
    figure, said = page.locator("figure.gdl-networks"), []
    for shift, scale in ((0, 1), (0.2, 0.6)):
        figure.get_by_role("button", name="draw one").click()
        draw(
            page,
            figure.locator("canvas"),
            [(shift + scale * u, shift + scale * v) for u, v in STROKES["7"][0]],
        )
        said.append(re.findall(r"says (\d)", figure.get_by_role("status").inner_text()))
    assert said == 2 * [["7"] * 3]


def test_the_page_s_networks_are_a_picture_without_script_and_on_paper(site, open_page, networks):
    still, _ = open_page(site + "book/index.html", java_script_enabled=False)
    paper, _ = open_page(site + "book/index.html", color_scheme="dark")
    parts = ("input", "select", "button", ".ring", ".knob")
    assert [paper.locator(f".gdl-networks {part}").first.is_visible() for part in parts] == [True] * 5
    on_paper(paper)
    for page, drawing in ((still, ".still"), (paper, "canvas")):
        figure = page.locator("figure.gdl-networks")
        assert figure.get_by_role("status").inner_text() == said_by(networks, 3, 0)
        values = lightness(figure.locator(f".board {drawing}"))
        assert values[len(values) // 20] < 100 < 200 < values[-len(values) // 2], "a picture with ink"
        assert figure.locator(".readers polygon").count() == 3
        for part in parts:
            assert not figure.locator(part).first.is_visible(), part
    rounds = still.locator(".gdl-networks polygon").all()
    assert [len(p.get_attribute("points").split()) for p in rounds] == [32] * 3


def network_weight_faults(html):
    """Scripts, and weights and digits beside them, that weigh more than a page should spend on its networks."""
    sizes = [len(part) for part in re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL)]
    print(f"networks: {' + '.join(f'{size:,}' for size in sizes)} bytes")
    faults = ["no weights, or no script"] * (len(sizes) != 2)
    return faults + [f"networks: {sum(sizes):,} bytes"] * (sum(sizes) > 100_000)


def test_the_page_s_networks_weigh_little():
    html = gdl_networks.figure()
    assert network_weight_faults(html) == []
    # The control: a fourth network, as large as the third.
    again = html.replace(
        '"networks": [', '"networks": [' + re.findall(r'\{"name": "p4".*?"\}', html)[0] + ", "
    )
    assert ["networks: 1" in fault for fault in network_weight_faults(again)] == [True]
    assert network_weight_faults("<p>nothing</p>") == ["no weights, or no script"]


def test_a_heavy_network_page_is_caught(open_page, tmp_path):
    numbers = base64.b64encode(np.random.default_rng(0).bytes(450_000)).decode()  # which do not compress
    for part, faults in ((10_000, 0), (len(numbers), 1)):
        body = f'<script type="application/json">"{numbers[:part]}"</script>'
        (tmp_path / "index.html").write_text(PLAIN.format(body=body, style=""), encoding="utf-8")
        with serve(tmp_path) as url:
            found = weight_faults(open_page(url + "index.html")[0], "index.html", tmp_path)
        assert len(found) == faults and all(fault.startswith("own: ") for fault in found), found


# Negative controls: a page with one planted fault, and the same page without it


PLAIN = """<!doctype html><html lang="en" data-theme="dark" style="background:#14181e;color:#fff"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><title>A page</title>
<main><h1>A page</h1><div style="{style}"><div class="gdl-claim">{body}</div></div></main></html>"""
PLANTED = {
    "foreign script": (
        '<script src="https://cdn.example.org/x.js"></script>',
        "",
        "foreign request: https://cdn.example.org",
    ),
    "foreign image": (
        '<img alt="a dot" src="http://localhost/x.png">',
        "",
        "foreign request: http://localhost",
    ),
    "missing file": ('<img alt="a dot" src="nowhere.png">', "", "404: "),
    "without the sub-path": ('<img alt="a dot" src="/index.html">', "", "404: "),
    "console error": ("<script>console.error('planted')</script>", "", "console: planted"),
    "script error": ("<script>nowhere()</script>", "", "script error: "),
    "unreadable math": (
        '<div class="math"><mjx-container><mjx-merror>x^</mjx-merror></mjx-container></div>',
        "",
        "could not read",
    ),
    "untouched math": (r'<span class="math">\(x\)</span>', "", "not typeset"),
    "wide page": ('<div style="width:500px">wide</div>', "", "wide on 360"),
    "light card": ("", "background:#ced6dd;color:#000", "lies on a light"),
    "no alt": ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">', "", "image-alt"),
    "outside of landmarks": ("</div></div></main><p>lost</p><main><div><div>", "", "region"),
    "faint words": ('<p style="color:#333">faint</p>', "", "color-contrast"),
}


def all_faults(page, faults):
    page.wait_for_load_state("networkidle")
    return [*faults, *math_faults(page), *overflow_faults(page), *light_card_faults(page), *axe_faults(page)]


@pytest.mark.parametrize("fault", [None, *PLANTED])
def test_planted_fault_is_caught(open_page, tmp_path, fault):
    body, style, word = PLANTED.get(fault, ("", "", None))
    (tmp_path / "index.html").write_text(PLAIN.format(body=body, style=style), encoding="utf-8")
    with serve(tmp_path) as url:
        found = all_faults(*open_page(url + "index.html", viewport={"width": 360, "height": 740}))
    if fault is None:
        assert found == []
    else:
        assert any(word in line for line in found), found


WIDE = f"<pre>{'x' * 300}</pre>"
SLIDER = '<figure class="gdl-player"><svg height="{}"></svg><input type="range"></figure>'
PANELS = (
    '<img alt="Two panels." src="{{dot}}" hidden><div class="gdl-panels"><div style="width:{}px;--start:0;--stop:300;--all:600">'
    '<img src="{{dot}}" style="margin-left:9px"></div></div>'
)
LAYOUTS = {
    "a wide claim": (
        sideways_faults,
        f'<div class="gdl-claim" style="overflow:auto">{WIDE}</div>',
        "scrolls",
    ),
    "a table's source": (table_faults, "<p>| a | b |\n| — | — |\n| 1 | 2 |</p>", "no table: | a | b |"),
    "a narrow cell": (
        sideways_faults,
        '<div class="cell_input" style="width:300px"><pre>x</pre></div>',
        "no room",
    ),
    "a wide cell": (
        sideways_faults,
        '<div class="cell_input"><pre style="overflow:auto">' + WIDE[5:] + "</div>",
        "scrolls",
    ),
    "a small figure": (
        small_print_faults,
        '<div class="cell_output"><img src="{dot}" alt="A dot." width="50"></div>',
        "50 %",
    ),
    "a small panel": (panel_faults, PANELS.format(120), "40 % of its size: Two"),
    "a panel of another part": (panel_faults, PANELS.format(210), "another part: Two"),
    "a picture that is shown twice": (panel_faults, PANELS.format(210).replace("hidden", ""), "twice: Two"),
    "clipped code": (print_faults, WIDE, "clipped"),
    "a wide table": (
        print_faults,
        '<div class="pst-scrollable-table-container" style="overflow:auto">' + WIDE + "</div>",
        "clipped: x",
    ),
    "a cut output": (print_faults, '<pre style="max-height:9em">x</pre>', "cut off"),
    "a solution": (print_faults, '<div class="solution admonition">x = 1</div>', "a solution"),
    "an answer": (print_faults, '<div class="dropdown admonition">Yes.</div>', "a solution"),
    "folded code": (
        print_faults,
        '<details class="hide"><summary>Show</summary><pre>x</pre></details>',
        "folded",
    ),
    "a button": (print_faults, '<details class="hide"><summary>Show</summary></details>', "a button"),
    "a dark ground": (print_faults, '<p style="background:#222">dark</p>', "a dark ground"),
    "light ink": (print_faults, '<p style="color:#ddd">faint</p>', "light ink"),
    "a low slider": (first_screen_faults, SLIDER.format(900), "INPUT ends at"),
    "an exercise too many": (
        exercise_faults,
        '<div class="exercise"><p class="admonition-title">Exercise 2</p></div>',
        "[2], solved []",
    ),
    "a printed sidebar": (
        navigation_faults,
        '<h1>A page</h1><div class="bd-sidebar-primary">x</div>',
        "is printed",
    ),
}


@pytest.mark.parametrize("fault", LAYOUTS)
def test_planted_layout_is_caught(open_page, fault):
    check, body, word = LAYOUTS[fault]
    buffer = io.BytesIO()
    Image.new("L", (100, 100)).save(buffer, "png")
    body = body.replace("{dot}", "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode())
    page, _ = open_page("about:blank", viewport={"width": 1280, "height": 720})
    for planted in (False, True):
        page.set_content(
            f'<html style="background:#fff"><article class="bd-article">{body * planted}</article></html>'
        )
        page.wait_for_load_state("networkidle")
        found = check(page)
        assert any(word in line for line in found) if planted else found == [], found
        page.emulate_media(media="screen")
        page.set_viewport_size({"width": 1280, "height": 720})


def test_card_that_leads_nowhere_is_caught(open_page):
    page, _ = open_page("about:blank")
    for target, faults in (("claims.html#claim-C06", []), ("claims.html#claim-C05", ["claim-C06"])):
        number = f'<p><strong><a href="{target}">C06</a></strong></p>'
        page.set_content(f'<div class="gdl-claim" id="claim-C06">{number}</div>')
        assert unlinked_cards(page) == faults


def test_player_that_says_nothing_is_caught(open_page, tmp_path):
    player = """<figure class="gdl-player"><svg viewBox="0 0 9 9" width="90" height="90"><path d="M0 0h9"/></svg>
    <input type="range" min="0" max="20" value="3" aria-valuetext="3"><output>3</output><figcaption>Three.</figcaption></figure>"""
    (tmp_path / "index.html").write_text(PLAIN.format(body=player, style=""), encoding="utf-8")
    with serve(tmp_path) as url:
        found = moves(open_page(url + "index.html")[0].locator("figure.gdl-player"))
    assert (
        "keyboard: the spoken value stays" in found
        and "mouse: the picture stays" in found
        and "nothing else is drawn" in found
    )
