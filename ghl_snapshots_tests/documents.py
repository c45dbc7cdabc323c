"""What the documents tell their readers to type."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "README.md",
    *(
        f"docs/{name}.md"
        for name in ("tour", "operations", "downstream", "scaling", "endpoints", "ledger", "api", "extending")
    ),
    "CONTRIBUTING.md",
)
"""In the order in which a reader comes to need them."""

# The first words of indented blocks that show something else than commands.
_SQL = ("CREATE", "SELECT")
_SHOWN = ("tenant", '{"$tooLarge":', "chain(0)", "202")
_VARIABLES = re.compile(r"[A-Z_]+=\S*(?: +#.*)?$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```\n", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?:    .*\n)+", re.MULTILINE)
_INLINE = re.compile(r"`((?:ghl-snapshots|make|python -m) [^`]+)`")


@dataclass(frozen=True, slots=True)
class Command:
    """A command for a shell, which may go over several lines of its document."""

    document: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words without the comment behind it."""
        return shlex.split(self.text.replace("\\\n", " "), comments=True)


def commands(document: str) -> Iterator[Command]:
    """The commands in a document's indented blocks, in order."""
    for block in _blocks(document):
        first = block.split()[0]
        if first in (*_SQL, *_SHOWN) or _VARIABLES.match(block):
            continue
        prompted, line = block.startswith("$ "), ""
        for part in block.splitlines():
            if prompted and not line and not part.startswith("$ "):
                continue  # what a command prints
            line = f"{line}\n{part}" if line else part.removeprefix("$ ")
            if _is_whole(line):
                yield Command(document, line.replace(".venv/bin/", ""))
                line = ""
        assert not line, f"{document}: {line} has no end"


def mentioned(document: str) -> Iterator[Command]:
    """The commands in a document's running text, which may lack arguments."""
    return (Command(document, found) for found in _INLINE.findall(_unfenced(document)))


def sql(document: str) -> list[str]:
    """The statements in a document's indented blocks, a block each."""
    return [block for block in _blocks(document) if block.split()[0] in _SQL]


def fenced(document: str, language: str) -> list[str]:
    """The document's examples in a language."""
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _unfenced(document: str) -> str:
    return _FENCED.sub("", (ROOT / document).read_text(encoding="utf-8"))


def _blocks(document: str) -> list[str]:
    """The indented paragraphs without their indentation."""
    found = _INDENTED.findall(_unfenced(document))
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]


def _is_whole(line: str) -> bool:
    """Whether a shell would not wait for more."""
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return False
    return not line.rstrip().endswith(("\\", "|"))
