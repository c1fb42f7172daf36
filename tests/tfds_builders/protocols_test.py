"""Protocols: the published counts and the labels' spellings."""

import pytest

from dianet_jax.core import errors
from tfds_builders import protocols

PUBLISHED = [
  ('casme2_5class', 249, 26),
  ('casme2_5class_246', 246, 26),
  ('samm_5class', 136, 27),
  ('mmew_7class', 300, 30),
  ('mmew_6class', 234, 30),
  ('mmew_4class', 263, 30),
  ('smic_3class', 164, 16),
  ('megc2019_3class', 442, 68),
]


@pytest.mark.parametrize('name,clips,folds', PUBLISHED)
def test_published_counts(name, clips, folds):
  protocol = protocols.get(name)
  parts = protocol.expected.values()
  assert sum(sum(part.values()) for part in parts) == clips
  assert sum(protocol.expected_folds.values()) == folds


def test_no_protocol_is_untested():
  # Of CAS(ME)3 no counts are published that could be checked.
  without = {'casme3_7class'}
  assert {row[0] for row in PUBLISHED} == set(protocols.names()) - without


def test_a_protocol_without_counts_expects_nothing():
  casme3 = protocols.get('casme3_7class')
  assert casme3.datasets == ('casme3',)
  assert casme3.class_of('x', 'Happy') == casme3.class_of('x', 'happiness')
  assert casme3.differences(['casme3'], ['spNO.1'], [0], ['x']) == []


def test_spellings():
  samm = protocols.get('samm_5class')
  for spelling in ('Other', 'Others', ' other '):
    assert samm.classes[samm.class_of('006/x', spelling)] == 'other'
  assert samm.class_of('006/x', 'Fear') is None


def test_excluded_clips():
  assert (
    protocols.get('casme2_5class_246').class_of('sub24/EP07_01', 'surprise')
    is None
  )
  assert (
    protocols.get('casme2_5class').class_of('sub24/EP07_01', 'surprise') == 3
  )


def complete(protocol, part):
  """Data sets, subjects and labels of a complete part."""
  counts = protocol.expected[part].values()
  labels = [c for c, n in enumerate(counts) for _ in range(n)]
  folds = protocol.expected_folds[part]
  subjects = [f'{part}{i % folds}' for i in range(len(labels))]
  ids = [f'clip{i}' for i in range(len(labels))]
  return [part] * len(labels), subjects, labels, ids


def test_differences_name_the_class():
  mmew = protocols.get('mmew_4class')
  clips = complete(mmew, 'mmew')
  assert mmew.differences(*clips) == []
  names = ', '.join(f'clip{i}' for i in range(1, 36))
  assert mmew.differences(*(column[1:] for column in clips)) == [
    f'mmew, happiness: 35 clips, the protocol has 36; here: {names}'
  ]
  few = [[row[i] for i in range(263) if i % 30] for row in clips]
  assert 'mmew: 29 subjects, the protocol has 30' in mmew.differences(*few)


def test_a_composite_may_lack_a_part():
  composite = protocols.get('megc2019_3class')
  parts = [complete(composite, part) for part in ('casme2', 'samm')]
  clips = [a + b for a, b in zip(*parts)]
  assert composite.differences(*clips) == [
    'smic is absent; the complete protocol has 164 clips of it'
  ]


def test_unknown_protocol():
  with pytest.raises(errors.UserError, match='casme2_5class'):
    protocols.get('casme3')


# Labels that a protocol does not know.


@pytest.mark.parametrize('name', protocols.names())
def test_every_emotion_of_the_data_set_is_known(name):
  emotions = {
    'casme2': 'others disgust happiness surprise repression sadness fear',
    'samm': 'Anger Other Happiness Surprise Contempt Disgust Fear Sadness',
    'mmew': 'surprise disgust others happiness fear sadness anger',
    'smic': 'negative positive surprise',
    'casme3': 'happy disgust fear anger sad surprise others',
    'megc2019': 'negative positive surprise',
  }[name.split('_')[0]].split()
  protocol = protocols.get(name)
  ids = [f'clip{i}' for i in range(len(emotions))]
  absent = protocol.unexpected(ids, emotions)
  assert len(absent) == bool(protocol.excluded_clips)
  known = {protocol.class_of('clip', emotion) for emotion in emotions}
  assert known >= set(range(len(protocol.classes)))


def test_unknown_labels_name_their_clips():
  samm = protocols.get('samm_5class')
  ids = ['006/a', '006/b', '007/a', '007/b']
  labels = ['Anger', 'Anger ', 'Angre', 'angre']
  assert samm.unexpected(ids, labels) == [
    "'angre' is an emotion that the protocol does not know: "
    '2 clips (007/a, 007/b) left out'
  ]
  (text,) = samm.unexpected([f'{i}' for i in range(30)], ['x'] * 30)
  assert '30 clips (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...)' in text


def test_excluded_clips_that_are_missing_are_reported():
  """A data set that names them differently would silently include them."""
  protocol = protocols.get('casme2_5class_246')
  ids = ['sub24/EP07_01', 'sub24/EP07_04', 'sub24/EP10_03']
  (text,) = protocol.unexpected(ids, ['surprise'] * 3)
  assert text.startswith('1 clip (sub24/EP07_04f) to be left out')


# Protocols of one's own.


def test_custom_protocol():
  emotions = {
    'Surprise': 'sudden', ' disgust': 'slow', 'Others': 'slow', 'fear': ''
  }  # fmt: skip
  mine = protocols.custom(emotions.items())
  assert mine.classes == ('sudden', 'slow')
  spellings = ('surprise', 'DISGUST ', 'other', 'others', 'fear', 'anger')
  assert [mine.class_of('x', s) for s in spellings] == [0, 1, 1, 1, None, None]
  assert mine.differences(['casme2'], ['sub01'], [0], ['x']) == []
  (text,) = mine.unexpected(['sub01/a', 'sub01/b'], ['fear', 'anger'])
  assert "'anger'" in text
  assert '(sub01/b)' in text


@pytest.mark.parametrize(
  ('emotions', 'problem'),
  [
    ({}, 'there are 0'),
    ({'fear': 'one', 'anger': 'one'}, 'there are 1'),
    ({'fear': 'one', 'anger': ''}, 'there are 1'),
    ({'other': 'one', 'Others ': 'two'}, "'Others ' has two classes, 'one'"),
    ({'fear': 1, 'anger': 2}, "'fear': 1 is not a pair of texts"),
    ({' ': 'one', 'fear': 'two'}, 'an emotion is empty'),
  ],
)
def test_bad_custom_protocol(emotions, problem):
  with pytest.raises(errors.UserError) as info:
    protocols.custom(emotions.items())
  assert problem in str(info.value)
  assert "'happiness': 'positive'" in str(info.value)


def test_an_emotion_twice_in_a_custom_protocol():
  twice = [('happiness', 'positive'), ('fear', 'negative')]
  assert protocols.custom([*twice, twice[0]]) == protocols.custom(twice)
  with pytest.raises(errors.UserError) as info:
    protocols.custom([*twice, ('Happiness', 'negative')])
  assert "'Happiness' has two classes, 'positive' and 'neg" in str(info.value)
