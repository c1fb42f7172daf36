"""The code in the documents, to be run by tests."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]


def snippets(document: str) -> list[str]:
  """The Python blocks of a Markdown file, in order."""
  text = (ROOT / document).read_text(encoding='utf-8')
  return re.findall(r'^```python\n(.*?)^```', text, re.DOTALL | re.MULTILINE)


def files(document: str) -> dict[str, str]:
  """Path -> Python block, for blocks with their file's name above them."""
  text = (ROOT / document).read_text(encoding='utf-8')
  found = re.findall(
    r'^`([\w/]+\.py)`:\n\n```python\n(.*?)^```', text, re.DOTALL | re.MULTILINE
  )
  return dict(found)
