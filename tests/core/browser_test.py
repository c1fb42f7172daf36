"""Pages in a browser: names are only text, and nothing is requested."""

import html as html_lib
import shutil
import subprocess

import pytest

from dianet_jax.core import escape, html
from tests.core import html_test
from tests.support import hostile

BROWSER = shutil.which('chromium') or shutil.which('google-chrome')
# Each would leave a mark that is looked for.
ATTACKS = (
  '<script>document.title = "taken"</script>',
  '"><img src=x onerror="document.title = \'taken\'">',
  "' onmouseover='document.title=1' x='",
  '</style><svg onload="document.title = \'taken\'">',
  '{{ 7 * 7 }}',
  '<base href="http://127.0.0.1:9/">',
)
pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(BROWSER is None, reason='there is no Chromium'),
]


def document(path):
  """The document that the browser makes of a file, as HTML."""
  done = subprocess.run(
    [
      BROWSER, '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic',
      '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      f'--user-data-dir={path.parent / "profile"}',
      '--virtual-time-budget=2000', '--dump-dom', path.as_uri(),
    ],
    capture_output=True,
    text=True,
    timeout=120,
    check=True,
  )  # fmt: skip
  return done.stdout


def page(names):
  """A page with every hostile name in every place of every part."""
  text = html.template('dianet_jax.core', 'base.html.j2').render()
  return text.replace(
    '</style>', '</style>' + ''.join(map(html_test.drawn, names)), 1
  )


def test_names_are_no_markup_to_a_browser(tmp_path):
  plain, attacked = tmp_path / 'plain.html', tmp_path / 'attacked.html'
  names = [*ATTACKS, *hostile.NAMES]
  plain.write_text(page(['name']))
  attacked.write_text(page(names), encoding='utf-8')
  expected, found = (html_test.Tags(document(p)) for p in (plain, attacked))
  assert found.elements - {'br'} == expected.elements
  assert found.attributes == expected.attributes
  text = html_lib.unescape(document(attacked))
  assert 'taken' not in text.split('</title>')[0]
  for name in names:
    for line in escape.shown(name).splitlines():
      assert line in text


def test_even_a_script_in_a_page_would_not_run(tmp_path):
  path = tmp_path / 'page.html'
  script = '<p id="p">as it was</p><script>p.textContent = "taken"</script>'
  path.write_text(page([]) + script)
  assert '>as it was</p>' in document(path)
  # Without our policy it would.
  policy = 'Content-Security-Policy'
  path.write_text(page([]).replace(policy, 'x') + script)
  assert '>taken</p>' in document(path)
