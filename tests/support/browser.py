"""A browser without a window, in which every request is noted."""

from collections.abc import Iterator
import contextlib
import shutil

import pytest

_NAMES = ('chromium', 'chromium-browser', 'google-chrome')
# Of the browser's own requests none, so that those of a page are all.
_FLAGS = (
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
)


@contextlib.contextmanager
def opened(width: int = 1280, height: int = 1000) -> Iterator[tuple]:
  """A page of a Chromium of this machine, and the addresses it asks for.

  Skips the test where there is neither Playwright nor a browser.
  """
  playwright = pytest.importorskip(
    'playwright.sync_api', reason='drives a browser: pip install playwright'
  )
  found = next(filter(None, map(shutil.which, _NAMES)), None)
  if found is None:
    pytest.skip(f'there is no browser: none of {", ".join(_NAMES)}')
  with playwright.sync_playwright() as driver:
    browser = driver.chromium.launch(executable_path=found, args=[*_FLAGS])
    size = {'width': width, 'height': height}
    page = browser.new_page(viewport=size)
    asked: list[str] = []
    page.on('request', lambda request: asked.append(request.url))
    yield page, asked
    browser.close()
