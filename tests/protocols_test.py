"""Protocols: the published counts and the labels' spellings."""

import pytest

from dianet_jax import errors, protocols

PUBLISHED = [
  ('casme2_5class', 249, 26),
  ('casme2_5class_246', 246, 26),
  ('samm_5class', 136, 27),
  ('mmew_7class', 300, 30),
  ('mmew_6class', 234, 30),
  ('mmew_4class', 263, 30),
  ('megc2019_3class', 442, 68),
]


@pytest.mark.parametrize('name,clips,folds', PUBLISHED)
def test_published_counts(name, clips, folds):
  protocol = protocols.get(name)
  parts = protocol.expected.values()
  assert sum(sum(part.values()) for part in parts) == clips
  assert sum(protocol.expected_folds.values()) == folds


def test_no_protocol_is_untested():
  assert {row[0] for row in PUBLISHED} == set(protocols.PROTOCOLS)


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
  return [part] * len(labels), subjects, labels


def test_differences_name_the_class():
  mmew = protocols.get('mmew_4class')
  clips = complete(mmew, 'mmew')
  assert mmew.differences(*clips) == []
  assert mmew.differences(*(column[1:] for column in clips)) == [
    'mmew, happiness: 35 clips, the protocol has 36'
  ]
  few = [[row[i] for i in range(263) if i % 30] for row in clips]
  assert 'mmew: 29 subjects, the protocol has 30' in mmew.differences(*few)


def test_a_composite_may_lack_a_part():
  composite = protocols.get('megc2019_3class')
  parts = [complete(composite, part) for part in ('casme2', 'samm')]
  clips = [a + b for a, b in zip(*parts)]
  assert composite.differences(*clips) == [
    'smic is absent; the whole protocol has 164 clips of it'
  ]


def test_unknown_protocol():
  with pytest.raises(errors.UserError, match='casme2_5class'):
    protocols.get('casme3')
