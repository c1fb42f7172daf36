"""Videos with annotated expressions: spotting, emotions and metrics."""

import dataclasses
import json
import re

import numpy as np
import pytest

from dianet_jax import __main__ as cli
from dianet_jax.clips import faces, intervals, long_videos
from dianet_jax.core import errors, progress
from dianet_jax.experiments import labelled_videos
from dianet_jax.inference import bundle as bundle_lib
from dianet_jax.inference import folder, spotters
from tests.support import faces_that_move as film
from tests.support import small_bundles, videos

pytest.importorskip('dlib', reason=f'filmstrips show faces: {faces.INSTALL}')

CLASSES = 'happiness=positive,disgust=negative'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """Two people; a micro-expression of each, and one that nobody annotated."""
  root = tmp_path_factory.mktemp('known')
  for name, courses in {
    'a': {'brow': [film.once(3, 3.4, 2)]},
    'b': {'brow': [film.once(2, 2.4, 3)], 'mouth': [film.once(4, 4.4, 2)]},
  }.items():
    frames = np.stack([f.image() for f in film.frames(6, courses)])
    videos.write(root / f'{name}.mkv', frames, np.arange(300) / film.FPS)
  (root / 'videos.csv').write_text(
    'video,subject,frames,frames_per_second\na,s1,300,50\nb,s2,300,50\n'
  )
  (root / 'truth.csv').write_text(
    'video,onset,apex,offset,kind,emotion\n'
    'a,150,160,170,micro,Happiness\nb,100,110,120,micro,disgust\n'
  )
  return root


@pytest.fixture
def start(monkeypatch, data, tmp_path, capsys):
  """Runs the command on the data; status, what it printed, its folder."""
  row = dataclasses.replace(long_videos.MOVEMENT, find=film.find)
  spotters.SPOTTERS.register('pattern', row)
  monkeypatch.setattr(progress.console, 'stderr', False)
  bundle = small_bundles.make(members=0, align=False)
  monkeypatch.setattr(folder, 'load', lambda path: bundle)
  monkeypatch.setattr(bundle_lib.Bundle, 'predict_clip', says_positive)

  def run(*arguments, truth=data):
    out = tmp_path / 'out'
    named = ['--spotter=pattern', f'--out={out}', f'--truth={truth}']
    status = cli.main(['spot', *named, *map(str, arguments)])
    return status, capsys.readouterr(), out

  yield run
  spotters.SPOTTERS.unregister('pattern')


def says_positive(bundle, clip):
  """A bundle for which all is positive, and the first clip of b no face."""
  if clip.numbers[0] < 110 and 'b.mkv' in clip.name:
    raise errors.UserError('no face was found')
  return bundle_lib.Prediction(clip, {'negative': 0.1, 'positive': 0.9}, {})


def test_one_command_spots_names_and_scores(start, data, capsys):
  status, said, out = start('--bundle=x', f'--classes={CLASSES}')
  assert status == 0
  found = intervals.read(out / 'intervals.csv')
  names = [one.emotion for some in found.values() for one in some]
  # What has no name goes on to the next one.
  assert names == ['positive', '', 'positive']
  assert 'no face was found' in said.out
  held = json.loads((out / 'spotting.json').read_text())['evaluation']
  figures = held['as_given']['micro']
  assert figures['true_positives'] == 2 and figures['false_positives'] == 1
  assert held['as_given']['recognition']['n'] == 2
  assert 'STRS' in said.out and 'ORACLE' in said.out
  # It is what the other command says of the file.
  arguments = [str(out / 'intervals.csv'), str(data), f'--classes={CLASSES}']
  assert cli.main(['evaluate-spotting', *arguments]) == 0
  assert capsys.readouterr().out.strip() in said.out
  # The page ranks the candidates of all videos together.
  page = (out / 'report.html').read_text()
  scores = [*map(float, re.findall(r'<h3>.*, score ([\d.]+)</h3>', page))]
  assert len(scores) == 3 and scores == sorted(scores, reverse=True)
  assert page.count('src="data:image/jpeg') == 5 * 3
  assert '<h2>Evaluation</h2>' in page
  assert not [*out.glob('*.mp4')]


def test_with_a_video_missing_nothing_is_scored(start, data, tmp_path):
  root = tmp_path / 'copy'
  root.mkdir()
  for path in data.iterdir():
    (root / path.name).write_bytes(path.read_bytes())
  (root / 'a.mkv').write_bytes(b'no video')
  status, said, out = start(truth=root)
  assert status == 1 and 'Not evaluated' in said.err
  assert json.loads((out / 'spotting.json').read_text())['evaluation'] is None


def test_emotions_that_the_bundle_does_not_know_are_refused(start):
  status, said, out = start('--bundle=x')
  assert status == 1 and '--classes=disgust=' in said.err
  assert not [*out.iterdir()], 'before anything is spotted'


@pytest.mark.parametrize(
  'arguments,reason',
  [
    (['--fps=50'], '--fps is not allowed'),
    (['--classes=happiness'], 'emotion=class'),
  ],
)
def test_what_does_not_fit_together_is_refused(start, arguments, reason):
  status, said, _ = start(*arguments)
  assert status == 1 and reason in said.err


@pytest.mark.parametrize('argument', ['v.mp4', '--dataset=samm_long'])
def test_videos_are_named_in_one_way(start, argument):
  with pytest.raises(SystemExit):
    start(argument)


@pytest.mark.parametrize('names, said', [((), 'none'), (('a', 'b'), 'a.avi')])
def test_each_video_lies_beside_the_tables_once(data, tmp_path, names, said):
  for name in ('videos.csv', 'truth.csv'):
    (tmp_path / name).write_bytes((data / name).read_bytes())
  for name in names:
    (tmp_path / f'{name}.avi').touch()
    (tmp_path / f'{name}.mkv').touch()
  with pytest.raises(errors.UserError, match=said):
    labelled_videos.of_folder(tmp_path)


def of(simulated):
  return labelled_videos.LabelledVideos('v', {}, simulated, ('samm',))


@pytest.mark.parametrize(
  'trained_on, simulated, known, said',
  [
    ('samm', False, of(False), 'SAME PEOPLE'),
    ('casme2', False, of(False), 'UNKNOWN'),
    ('samm', False, of(True), 'was not trained on'),
    ('samm', True, of(False), 'was not trained on'),
    ('samm', True, of(True), 'UNKNOWN'),
  ],
)
def test_who_the_bundle_has_seen_is_said(trained_on, simulated, known, said):
  bundle = small_bundles.make(members=0)
  training = bundle.facts['training']
  training = training | {'dataset': trained_on, 'simulated': simulated}
  bundle = dataclasses.replace(bundle, facts={'training': training})
  assert said in labelled_videos.describe_training(known, bundle)


def test_emotions_that_cannot_be_named_are_told(data):
  known = labelled_videos.of_folder(data)
  bundle = small_bundles.make(members=0)
  classes = {'happiness': 'positive'}
  missing = labelled_videos.emotions_without_class(known, bundle, classes)
  assert missing == ['disgust']
  classes['disgust'] = 'negative'
  assert not labelled_videos.emotions_without_class(known, bundle, classes)
