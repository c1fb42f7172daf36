"""Templates: names are escaped; and the parts that pages share."""

import html as html_lib
from html import parser
import re

import jinja2
import numpy as np
import pytest

from dianet_jax.core import curve, escape, html
from tests.support import hostile


class Tags(parser.HTMLParser):
  """Names of all elements, and of all attributes."""

  def __init__(self, text):
    super().__init__()
    self.elements, self.attributes, self.texts = set(), set(), []
    self.feed(text)
    self.close()

  def handle_starttag(self, tag, attrs):
    self.elements.add(tag)
    self.attributes |= {name for name, _ in attrs}

  def handle_data(self, data):
    self.texts.append(data)


def parts():
  return html.template('dianet_jax.evaluation', 'parts.html.j2').module


def drawn(name):
  """Every macro with a name in each of its places."""
  line = curve.Curve(
    name,
    np.array([0.0, 1.0, 2.0]),
    np.array([0.0, 1.0, 0.0]),
    0.5,
    [(1.0, name)],
    [(0.0, 1.0, name)],
  )
  rows = html.confusion_rows(np.eye(2, dtype=int), ['a', name])
  made = parts()
  return ''.join(
    [
      made.table([[name, 'b'], ['c', name]]),
      made.pictures([(name, f'data:{name}')]),
      made.bars([(name, 0.5, name)]),
      made.confusion(name, ['a', name], rows),
      made.curve(line),
    ]
  )


@pytest.mark.parametrize('name', hostile.NAMES)
def test_names_never_become_markup(name):
  plain, found = Tags(drawn('name')), Tags(drawn(name))
  # A cell of a table may have lines.
  assert found.elements - {'br'} == plain.elements
  assert found.attributes == plain.attributes
  for line in escape.shown(name).splitlines():
    assert line in html_lib.unescape(drawn(name))


def test_a_template_that_lacks_a_value_is_an_error():
  with pytest.raises(jinja2.UndefinedError):
    html.template('dianet_jax.inference', 'page.html.j2').render()


def test_rows_of_a_confusion_matrix():
  rows = list(html.confusion_rows(np.array([[3, 1], [0, 0]]), ['a', 'b']))
  assert rows == [
    ('a', [(3, 0.75), (1, 0.25)], 0.75),
    ('b', [(0, 0.0), (0, 0.0)], None),
  ]
  text = parts().confusion('all', ['a', 'b'], rows)
  assert 'rgb(31 119 180 / 0.60)">3<' in text and '<td>0.75</td>' in text


def test_a_long_curve_keeps_its_peak():
  values = np.zeros(100_000)
  values[77_777] = 9.0
  line = curve.Curve('x', np.arange(100_000) / 100, values)
  points = [tuple(map(float, p.split(','))) for p in line.points.split()]
  assert len(points) <= 1200
  assert min(y for _, y in points) == line.TOP
  [(peak, _)] = [(x, y) for x, y in points if y == line.TOP]
  width = line.RIGHT - line.LEFT
  assert peak == pytest.approx(line.LEFT + width * 0.77777, abs=0.1)
  assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_a_curve_of_one_value_and_a_threshold_above_it():
  line = curve.Curve('x', np.array([1.0]), np.array([2.0]), threshold=4.0)
  assert line.threshold_y == line.TOP
  assert line.points == f'{line.LEFT}.0,{line.BOTTOM}.0'
  flat = curve.Curve('x', np.array([0.0, 1.0]), np.zeros(2))
  assert {p.split(',')[1] for p in flat.points.split()} == {'160.0'}


def test_marks_and_intervals_are_at_their_times():
  line = curve.Curve(
    'x',
    np.array([10.0, 20.0]),
    np.array([0.0, 1.0]),
    marks=[(10.0, 'first'), (15.0, 'middle')],
    intervals=[(10.0, 20.0, 'all'), (12.0, 12.0, 'one frame')],
  )
  assert line.lines == [(line.LEFT, 'first'), (320.0, 'middle')]
  assert line.bands[0] == (line.LEFT, line.RIGHT - line.LEFT, 'all')
  assert line.bands[1][1] == 1.0
  assert [text for _, text in line.ticks] == ['10.00 s', '15.00 s', '20.00 s']


def test_every_page_forbids_scripts_and_requests():
  text = html.template('dianet_jax.core', 'base.html.j2').render()
  [policy] = re.findall('Content-Security-Policy" content="(.*?)"', text)
  assert "default-src 'none'" in policy and 'http' not in policy
  assert 'script-src' not in policy
