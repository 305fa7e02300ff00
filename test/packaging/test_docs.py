"""Tables and footnotes of the documentation hold together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = ["docs/comparison.md", "docs/robots.md"]


@pytest.mark.parametrize("page", PAGES)
def test_every_footnote_is_used_and_defined_once(repository: Path, page: str) -> None:
    text = (repository / page).read_text(encoding="utf-8")
    defined = re.findall(r"^\[\^(\w+)\]:", text, re.MULTILINE)
    used = set(re.findall(r"\[\^(\w+)\](?!:)", text))
    assert len(defined) == len(set(defined))
    assert set(defined) == used


@pytest.mark.parametrize("page", PAGES)
def test_rows_have_the_cells_of_their_header(repository: Path, page: str) -> None:
    header = 0
    for number, line in enumerate((repository / page).read_text(encoding="utf-8").splitlines(), 1):
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not cells or not header or cells == header, f"{page}:{number}"
        header = cells


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_linked_exist(repository: Path, page: str) -> None:
    folder = (repository / page).parent
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (repository / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (folder / link).exists()] == []
