"""The documentation's site: `python -m sphinx -W -n docs site`. Why Sphinx: docs/design.md, "Libraries"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx

project = "Fieldlens"
author = "the Fieldlens contributors"
project_copyright = "the Fieldlens contributors, Apache-2.0"
extensions = ["myst_parser"]
exclude_patterns = ["images"]
html_theme = "furo"
html_title = "Fieldlens"
html_show_sourcelink = False
html_copy_source = False
html_extra_path = sorted(path.name for path in Path(__file__).parent.glob("*.schema.json"))  # beside the pages
templates_path: list[str] = []
myst_heading_anchors = 4  # the same anchors as on GitHub, and a link to one that is missing is a warning


class NotebookParser(MystParser):
    """A notebook without outputs, as a page: its Markdown as it stands, its code as blocks."""

    supported = ("notebook",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        """Turn the cells into one Markdown text, and parse that."""
        parts = []
        for cell in json.loads(inputstring)["cells"]:
            text = "".join(cell["source"])
            parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        super().parse("\n\n".join(parts), document)


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx read notebooks."""
    app.add_source_suffix(".ipynb", "notebook")
    app.add_source_parser(NotebookParser)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
