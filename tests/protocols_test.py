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
  ('megc2019_3class_no_smic', 278, 52),
]


@pytest.mark.parametrize('name,clips,folds', PUBLISHED)
def test_published_counts(name, clips, folds):
  protocol = protocols.get(name)
  assert sum(protocol.expected.values()) == clips
  assert protocol.expected_folds == folds


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


def test_differences_name_the_class():
  mmew = protocols.get('mmew_4class')
  labels = [c for c, n in enumerate(mmew.expected.values()) for _ in range(n)]
  assert mmew.differences(labels, 30) == []
  assert mmew.differences(labels[1:], 29) == [
    'happiness: 35 clips, the protocol has 36',
    '29 subjects, the protocol has 30',
  ]


def test_unknown_protocol():
  with pytest.raises(errors.UserError, match='casme2_5class'):
    protocols.get('casme3')
