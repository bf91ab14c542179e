"""Every example of README.md, docs/ and examples/ does what it says: `bench.py` has how, `unrun.py` what is not run."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

import dnn_surgery
from dnn_surgery.cli.configuration import load_configuration
from dnn_surgery.cli.main import build_parser
from dnn_surgery.edge.source_specs import read_sources
from tests.docs.bench import Reader
from tests.docs.pages import PAGES, ROOT, blocks, commands
from tests.docs.unrun import OWN_TEST, SLOW, UNRUN


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] if page in SLOW else []) for page in PAGES if page not in OWN_TEST],
)
def test_every_example_of_the_page(page: str, reader: Reader) -> None:
    for block in blocks(page):
        try:
            reader.copy(block)
        except SystemExit as error:
            raise AssertionError(f"{block.place}: refused by the command's parser") from error
        except Exception as error:
            error.args = (f"{block.place}: {error}",)
            raise
    for (where, begins), holds in CHECKS.items():
        if where == page:
            (block,) = (block for block in blocks(page) if block.text.startswith(begins))
            holds(reader, reader.printed[block.place])


def test_what_is_shown_as_printed_is_what_is_printed(reader: Reader) -> None:
    """An output behind commands whose input is in the repository is their output, to the character."""
    seen = 0
    for page in PAGES:
        for block, output in zip(blocks(page), blocks(page)[1:], strict=False):
            fixed = re.search(r"(src|tests)/\S+\.json", block.text)
            if fixed and not output.language and (block.language == "python" or "dnn-surgery plan" in block.text):
                reader.copy(block)
                printed = [line.rstrip() for line in reader.printed[block.place].strip().splitlines()]
                assert printed == output.text.strip().splitlines(), block.place
                seen += 1
    assert seen >= 3


def test_the_table_names_only_what_is_there() -> None:
    lines = [command for page in PAGES for block in blocks(page) if block.is_commands for command in commands(block)]
    for page in (*SLOW, *OWN_TEST):
        assert page in PAGES
    for test in OWN_TEST.values():
        assert (ROOT / test).is_file()
    assert len(lines) > 20
    assert all(any(re.search(pattern, line) for line in lines) for pattern, _ in UNRUN if "dnn-surgery" in pattern)


def test_an_example_that_nobody_runs_is_found(reader: Reader) -> None:
    with pytest.raises(AssertionError, match="nobody runs"):
        reader.command("curl http://localhost/")
    with pytest.raises(SystemExit):
        reader.command("dnn-surgery plan --no-such-flag")
    with pytest.raises(SystemExit):
        reader.command("dnn-surgery run --source rtsp://camera1/sub --no-such-flag")


def test_every_flag_of_the_table_of_links_exists() -> None:
    text = (ROOT / "docs" / "link.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(--[^|]*)\|", text, flags=re.MULTILINE)
    assert len(rows) > 5
    for flags in rows:
        for flag in re.findall(r"(--[a-z-]+) ([^`]+)", flags):
            build_parser().parse_args(["link", *flag])


def _splits(reader: Reader, printed: str) -> None:
    assert "True" in printed  # the plan is proved optimal
    answer, graph = reader.names["answer"], reader.names["graph"]
    assert isinstance(graph, dnn_surgery.ModelGraph)
    assert tuple(answer) == graph.outputs


def _names_a_class(_: Reader, printed: str) -> None:
    assert 0 <= int(printed) < 1000


def _links(_: Reader, printed: str) -> None:
    address, state = printed.splitlines()
    assert address.startswith("127.0.0.1:")
    assert "elapsed_s=None" in state


def _traces(_: Reader, printed: str) -> None:
    means, between, finish = printed.splitlines()
    assert all(float(value) > 0 for value in (*means.split(), between))
    assert float(finish) > 0.5


def _takes_in(_: Reader, printed: str) -> None:
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines[:6]] == list("012345")
    assert "skipped=0, taken=3" in lines[6]


# What a block must have done besides running: page, how the block begins, check.
CHECKS: dict[tuple[str, str], Callable[[Reader, str], None]] = {
    ("README.md", "from dnn_surgery import Link"): _splits,
    ("README.md", "import numpy as np\nimport tritonclient"): _names_a_class,
    ("docs/link.md", "from dnn_surgery.network.shaping"): _links,
    ("docs/link.md", "from dnn_surgery.network.traces"): _traces,
    ("docs/sources.md", "import numpy as np\nfrom dnn_surgery.edge.intake"): _takes_in,
}


def _yaml(page: str, number: int) -> str:
    return [block.text for block in blocks(page) if block.language == "yaml"][number]


def test_what_the_configurations_say(reader: Reader) -> None:
    path = reader.folder / "configuration.yaml"
    path.write_text(_yaml("README.md", 0), encoding="utf-8")
    assert (load_configuration(path).model.architecture, load_configuration(path).server.port) == ("VGG16", 50051)
    path.write_text(_yaml("README.md", 1), encoding="utf-8")
    model = load_configuration(path).model
    assert (model.preprocess.size, model.postprocess.task) == ((640, 640), "detect")
    path.write_text(_yaml("docs/sources.md", 0), encoding="utf-8")
    configuration = load_configuration(path)
    assert (configuration.sources["gate"].rate_hz, configuration.sources["gate"].priority) == (5, 2)
    assert configuration.overload == "skip"


def test_what_the_list_of_streams_says(reader: Reader) -> None:
    path = reader.folder / "site.streams"
    text = next(block.text for block in blocks("docs/sources.md") if not block.language)
    path.write_text(text, encoding="utf-8")
    assert [(spec.name, spec.rate_hz, spec.priority) for spec in read_sources([str(path)])] == [
        ("gate", 5, 2),
        ("rtsp://camera2/sub", 1, 0),
        ("archive/*.jpg", None, 0),
    ]
