"""report.html, for inputs of any kind and with hostile names."""

import base64
import re
import types

import cv2
import numpy as np
import pytest

from dianet_jax.core import config as configuration
from dianet_jax.evaluation import metrics, page, report
from dianet_jax.explanation import explainer, regions
from dianet_jax.motion.registry import Channel

CLASSES = ('a<b', '"c"')
HOSTILE = '<script>alert(1)</script>&amp;'


def dataset(channels=3, views=2):
  """Eight clips of four subjects; images of so many channels, and tokens."""
  rng = np.random.default_rng(0)
  shape = (1, 8, views, 6, 5, channels)
  return types.SimpleNamespace(
    clips=[
      types.SimpleNamespace(
        clip_id=f'{HOSTILE}{i}', subject=f's{i // 2}', dataset='d', notes=''
      )
      for i in range(8)
    ],
    subjects=[f's{i // 2}' for i in range(8)],
    inputs={
      'flow': rng.normal(size=shape).astype(np.float32),
      'tokens': np.zeros((1, 8, 7, 11), np.float32),
    },
    representations={'flow': 'some_flow', 'tokens': 'some_tokens'},
    channels={
      'flow': tuple(Channel(f'c{i}', '') for i in range(channels)),
      'tokens': (),
    },
    views={
      'flow': tuple(f'view {n}' for n in range(1, views + 1)),
      'tokens': (),
    },
    labels=np.arange(8) % 2,
    classes=CLASSES,
    simulated=True,
    control=False,
    fingerprint='f',
    notes=(HOSTILE,),
  )


@pytest.fixture
def write(tmp_path):
  """The text of a page about a data set."""

  def written(clips, explanations=(), **changes):
    explanations = dict(explanations)
    predictions = np.array([[0, 1, 0, 1, 0, 1, 1, 0]])
    pooled = report.Pooled((3,), np.eye(2)[predictions], predictions)
    summary = report.summarise('run <i>', clips, pooled, [('s1', 1)])
    summary |= {'trained_by': {'float32; loop; cpu': 4}} | changes
    curve = np.array([2.0, 1.0])
    result = types.SimpleNamespace(loss=curve, accuracy=curve)
    path = tmp_path / 'report.html'
    config = configuration.Config(name='run <i>')
    versions = {'python': '3 & more', 'device': '<b>'}
    page.write(
      path, config, clips, pooled, [result], summary, versions, explanations
    )
    return path.read_text()

  return written


def pictures(text):
  """(Title, decoded picture) of every image of a page."""
  found = re.findall(r'src="data:image/png;base64,(.*?)" alt="(.*?)"', text)
  return [
    (
      title,
      cv2.imdecode(
        np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_UNCHANGED
      ),
    )
    for data, title in found
  ]


@pytest.mark.parametrize('channels', [1, 2, 3, 4, 5])
def test_images_of_any_number_of_channels(write, channels):
  clips = dataset(channels)
  found = pictures(write(clips))
  apart = channels not in (1, 3)
  # One wrong clip and two right ones of each of two classes, two views of each.
  assert len(found) == 3 * 2 * 2 * (channels if apart else 1)
  titles = [
    f'some_flow, view {view}' + (f': c{channel}' if apart else '')
    for view in (1, 2)
    for channel in range(channels if apart else 1)
  ]
  assert [title for title, _ in found[: len(titles)]] == titles
  # The first wrong one.
  image = clips.inputs['flow'][0, 6, 0]
  span = np.ptp(image)
  for channel in range(channels if apart else 1):
    wanted = image[..., channel] if apart else image[..., ::-1]
    wanted = np.round((wanted - image.min()) / span * 255).squeeze()
    np.testing.assert_array_equal(found[channel][1].squeeze(), wanted)


def test_one_view_has_no_title_and_inputs_without_images_are_listed(write):
  text = write(dataset(views=1))
  assert {title for title, _ in pictures(text)} == {'some_flow'}
  assert 'flow, as some_flow: 1 x 6 x 5 x 3 per clip' in text
  assert 'channels c0, c1, c2' in text
  assert 'tokens, as some_tokens: 7 x 11 per clip; not an image' in text


def test_names_are_escaped(write):
  text = write(dataset())
  body = text[text.index('<h1>') :]
  assert '<script' not in text and '<i>' not in text and '<b>' in text
  assert '&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;0,' in body
  assert '<th>a&lt;b</th>' in body and '&#34;c&#34;' in body
  assert '<td>3 &amp; more</td>' in body and '<td>&lt;b&gt;</td>' in body
  assert '<h1>run &lt;i&gt;</h1>' in body
  assert 'fold s1: no training clip of &#34;c&#34;' in body
  # Of all that was put in, drawings alone are markup.
  assert text.count('<svg') == 3 and '&lt;svg' not in text


def test_tables_and_their_cells(write):
  text = write(dataset())
  assert re.search(r'<td>\d\.\d{3}<br>\d\.\d{3} to \d\.\d{3}</td>', text)
  for label in ('clips', 'n', 'accuracy', 'UF1', 'chance UF1', 'recall'):
    assert f'<th>{label}</th>' in text
  assert '<th>F1, mean over seeds</th>' in text
  assert '<td>4 trainings</td><td>float32; loop; cpu</td>' in text
  # Counts of the confusion matrix, shaded by their share.
  assert re.findall(r'/ (0\.\d\d)\)">(\d)</td>', text) == [
    ('0.60', '3'), ('0.20', '1'), ('0.20', '1'), ('0.60', '3')
  ]  # fmt: skip


def test_banners_of_simulated_data_and_controls(write):
  simulated, control = 'are <b>simulated</b>', 'A <b>control</b>'
  text = write(dataset())
  assert simulated in text and control not in text
  assert 'SIMULATED DATA, run &lt;i&gt;' in text
  text = write(dataset(), simulated=False, control=True, notes=[])
  assert control in text and simulated not in text
  assert text.count('CONTROL WITH SHUFFLED LABELS') == 1
  text = write(dataset(), notes=[], classes_absent_in_training=[])
  assert '<p>None.</p>' in text


def test_a_new_metric_is_in_the_table(write, monkeypatch):
  row = metrics.Metric('P < 1', lambda confusion: confusion[..., 0, 0] / 8)
  monkeypatch.setitem(metrics.METRICS, 'hits', row)
  assert '<th>P &lt; 1</th>' in write(dataset())


def test_the_wrongest_clips_come_first():
  labels = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1])
  truth = np.array([0.9, 0.1, 0.2, 0.3, 0.4, 0.8, 0.05, 0.7, 0.7])
  probabilities = np.empty((9, 2))
  probabilities[np.arange(9), labels] = truth
  probabilities[np.arange(9), 1 - labels] = 1 - truth
  # Three wrong ones of the first class, of four; the surest behind them.
  assert page.choose(labels, probabilities) == [6, 1, 2, 3, 0, 5, 7, 8]


def test_each_data_set_has_a_matrix(write):
  clips = dataset()
  for clip in clips.clips[4:]:
    clip.dataset = HOSTILE
  text = write(clips)
  shown = re.findall(r'<caption>(.*?)</caption>', text)
  assert shown == [
    'all clips',
    '&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;',
    'd',
  ]
  counts = [
    int(n) for n in re.findall(r'background: rgb\(.*?\)">(\d+)</td>', text)
  ]
  every, first, second = np.reshape(counts, (3, 2, 2))
  np.testing.assert_array_equal(every, first + second)


def test_explanations_stand_beside_their_clips(write):
  evidence = {**dict.fromkeys(regions.NAMES, 0.0), 'mouth': 2.0}
  why = explainer.Explanation(evidence, {'deep': np.eye(3)}, {})
  text = write(dataset(), {6: why})
  assert 'Share of attribution by region and class' in text
  assert (
    '<td>mouth (10, 12, 14, 15, 20, 23, 24, 25)</td><td></td><td>1.00' in text
  )
  assert 'title="class activation, deep"' in text
  # The others have none.
  assert text.count('title="regions of the face"') == 1
  assert 'the model reads no image' in write(dataset())


def test_clips_in_a_plane(write):
  text = write(dataset())
  points = re.findall(r'<circle .*?</circle>', text)
  assert len(points) == 2 * 8
  assert sum('&lt;script&gt;' in point for point in points) == 2 * 8
  assert text.count('The nearest clip has the same') == 2
