"""The pages of the documentation, taken apart: every block that a reader may copy, in order."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*.md")))
)

# What begins a command; an indented block that begins otherwise is a drawing or an output.
PROGRAMS = frozenset(
    """dnn-surgery make pip python python3 openssl printf echo curl wget ssh scp rsync sudo apt-get systemctl docker
    chrt nice cd export git . source .ci/run mkdocs chromium tc ip iperf3""".split()  # noqa: SIM905
)
SHELL = ("sh", "bash", "shell", "console")

_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"(?:\A|\n\s*\n)((?:(?: {4,}|\t)[^\n]*(?:\n|\Z)|[ \t]*\n(?= {4,}))+)")


@dataclass(frozen=True)
class Block:
    """A block of a page: its language ("" where none is said, "commands" where it is indented), and where it begins."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_commands(self) -> bool:
        return self.language == "commands" or self.language in SHELL


def blocks(page: str) -> list[Block]:
    """Fenced blocks, and indented ones that are commands."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [
        Block(page, _line(text, match.start()), match[2], textwrap.dedent(match[3])) for match in _FENCE.finditer(text)
    ]
    # Blanked, so that nothing in a fence is found again and lines keep their numbers.
    rest = _FENCE.sub(lambda match: "x" + re.sub(r"[^\n]", "", match[0]), text)
    for match in _INDENTED.finditer(rest):
        block = Block(page, _line(rest, match.start(1)), "commands", textwrap.dedent(match[1]).strip("\n"))
        if any(command.split(maxsplit=1)[0] in PROGRAMS for command in commands(block)):
            found.append(block)
    return sorted(found, key=lambda block: block.line)


def commands(block: Block) -> Iterator[str]:
    """The commands of a block: continued lines joined, comments left out."""
    for line in re.sub(r"\\\n\s*", " ", block.text).splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:  # an apostrophe: prose or a drawing
            words = line.split()
        if words:
            comment = re.search(r"\s+#\s", line)
            yield line[: comment.start()].strip() if comment else line.strip()


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
