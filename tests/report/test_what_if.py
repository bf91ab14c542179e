"""The what-if page in a real browser says what the planner says, wherever the sliders stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dnn_surgery.planning import CodecCost, Link, Problem, frontier
from dnn_surgery.planning.explain import kind_of, title_of
from dnn_surgery.planning.plan import Objective
from dnn_surgery.report.options import options
from dnn_surgery.report.what_if import page, what_if, write_page
from tests.report.chromium import open_page

PAPER = Path(__file__).parents[1] / "planning" / "data" / "paper-tiny-yolov2.json"
LINK = Link(4e6, 0.02)


@pytest.fixture(scope="module")
def problem() -> Problem:
    """The paper's tiny YOLOv2, whose input may also travel as a jpeg."""
    paper = Problem.from_json(PAPER.read_text())
    (tensor,) = paper.layers[0].outputs
    return paper.with_codecs({tensor.name: [*tensor.ways, CodecCost("jpeg90", 90_000)]})


@pytest.fixture(scope="module")
def file(problem: Problem, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of it."""
    record = what_if(problem, options(problem, frontier(problem)), LINK)
    return write_page(tmp_path_factory.mktemp("page") / "report.html", record, [])


def title(problem: Problem, link: Link, slowdown: float, load: float, objective: Objective) -> str:
    """What the planner would call its plan, as the page begins its sentence."""
    plan = frontier(problem).best(link, slowdown, load, objective)
    text = title_of(plan, kind_of(plan, {problem.layers[0].name}))
    return text[0].upper() + text[1:]


def test_the_page_agrees_with_the_planner(problem: Problem, file: Path) -> None:
    """At forty places of the sliders; several different plans are among them."""
    seen = set()
    with open_page(file.as_uri()) as browser:
        for bandwidth in (5e4, 3e5, 1.1e6, 5.85e6, 1e8):
            for slowdown in (0.1, 0.5, 1, 8):
                for objective in ("latency", "throughput"):
                    address = f"#bandwidth={bandwidth}&rtt=0.02&slowdown={slowdown}&load=1&objective={objective}"
                    browser.evaluate(f"location.hash = {address!r}")
                    expected = title(problem, Link(bandwidth, 0.02), slowdown, 1, objective)
                    browser.wait_for_function("address => location.hash === address", arg=address)
                    browser.wait_for_function(
                        "text => document.getElementById('verdict').textContent.startsWith(text)", arg=expected
                    )
                    seen.add(expected)
    assert len(seen) >= 5


def test_a_slider_moves_the_cut(file: Path) -> None:
    """From staying local on a dead slow link to uploading on a fast one, with keys as a person would."""
    with open_page(file.as_uri()) as browser:
        browser.focus("#bandwidth")
        browser.keyboard.press("Home")
        assert browser.text_content("#verdict").startswith("Stay local")
        assert browser.text_content("#bandwidth-text") == "20 kbit/s"
        assert browser.locator("#strip div.cloud").count() == 0
        browser.keyboard.press("End")
        assert browser.text_content("#bandwidth-text") == "1 Gbit/s"
        assert browser.locator("#strip div.cloud").count() > 0
        assert "bandwidth=1000000000" in browser.evaluate("location.hash")


def test_restrictions_are_kept(file: Path) -> None:
    """The input that stays on the device is not uploaded; a jpeg loses bits."""
    with open_page(f"{file.as_uri()}#bandwidth=30000000&slowdown=8") as browser:
        assert "jpeg90" in browser.text_content("#figures")
        browser.check("#exact")
        assert "jpeg90" not in browser.text_content("#figures")
        browser.uncheck("#exact")
        browser.check("#private")
        assert browser.text_content("#verdict").startswith("Split after")


def test_a_click_on_the_map_goes_there(file: Path) -> None:
    """Far right and up: a fast link and a slow edge."""
    with open_page(file.as_uri()) as browser:
        box = browser.locator("#map").bounding_box()
        browser.locator("#map").click(position={"x": box["width"] - 6, "y": 6})
        number, unit = browser.text_content("#bandwidth-text").split()
        assert unit == "Mbit/s"
        assert 85 < float(number) <= 100
        assert browser.text_content("#verdict").startswith("Upload")


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    """A layer may be called what it likes."""
    evil = '</script><script>document.title = "broken"</script>'
    record = {
        "name": f"net {evil}",
        "outputs": ["b"],
        "layers": [
            {"name": "in", "inputs": [], "edge_s": 0, "cloud_s": 0, "output_bytes": 5000},
            {"name": f"a {evil}", "inputs": ["in"], "edge_s": 0.01, "cloud_s": 0.001, "output_bytes": 100},
            {"name": "b", "inputs": [f"a {evil}"], "edge_s": 0.5, "cloud_s": 0.001, "output_bytes": 4},
        ],
    }
    problem = Problem.from_json(json.dumps(record))
    made = write_page(tmp_path / "page.html", what_if(problem, options(problem, frontier(problem)), LINK), [])
    with open_page(f"{made.as_uri()}#bandwidth=100000") as browser:
        assert browser.title().startswith(f"net {evil}")
        assert evil in browser.text_content("#verdict")


def test_the_page_needs_nothing_else(file: Path) -> None:
    """One file: nothing in it is loaded from elsewhere."""
    text = file.read_text()
    assert "{{" not in text.split("<script")[0]
    for loaded in ('src="http', 'href="http', "@import", "fetch("):
        assert loaded not in text


def test_the_page_is_small(problem: Problem) -> None:
    """The frontier is a few kB, and so is the page without pictures."""
    text = page(what_if(problem, options(problem, frontier(problem)), LINK), [])
    assert len(text) < 60_000
