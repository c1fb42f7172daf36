"""The fingerprint of prepared records: what changes it, and what does not."""

import dataclasses
import os
import pathlib
import subprocess
import sys
import textwrap

import cv2
import pytest

from tests.support import raw_trees
from tfds_builders import clips, prepare, raw_folder, registry

_REPOSITORY = pathlib.Path(__file__).parents[2]


def _prepare(root, cache, **kwargs):
  return prepare.prepare('casme2', root, cache, **kwargs)


def _ids(prepared):
  return [record['clip_id'].decode() for record in prepared.source]


def _touch(root):
  path = root / 'Cropped/Cropped/sub01/EP03_02/reg_img12.jpg'
  os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def _rewrite(root):
  path = root / 'Cropped/Cropped/sub01/EP03_02/reg_img12.jpg'
  cv2.imwrite(str(path), raw_trees.frame(9.0)[:20])


def _annotate(root):
  rows = [raw_trees.casme2_row('01', 'EP02_01f', apex=15)]
  raw_trees.write_sheet(root / 'CASME2-coding-20140508.xlsx', rows)


def _add_frame(root):
  raw_trees.write_clip(
    root / 'Cropped/Cropped/sub01/EP03_02', [23], 'img{}.png'
  )


@pytest.mark.parametrize(
  'change', [_touch, _rewrite, _annotate, _add_frame, raw_trees.mark_simulated]
)
def test_a_changed_folder_is_prepared_again(tmp_path, change):
  root = raw_trees.casme2(tmp_path / 'raw')
  before = _prepare(root, tmp_path / 'cache')
  change(root)
  after = _prepare(root, tmp_path / 'cache')
  assert not after.from_cache
  assert after.fingerprint != before.fingerprint
  assert after.simulated == (change is raw_trees.mark_simulated)


def test_unrelated_files_do_not_change_the_fingerprint(tmp_path):
  root = raw_trees.casme2(tmp_path / 'raw')
  _prepare(root, tmp_path / 'cache')
  (root / 'notes.txt').write_text('mine')
  assert _prepare(root, tmp_path / 'cache').from_cache


@pytest.mark.parametrize(
  'options',
  [
    {'variant': 'cropped'},
    {'skip_bad_clips': True},
    {'annotation_policy': 'spot'},
  ],
)
def test_options_are_part_of_the_fingerprint(tmp_path, options):
  root = raw_trees.casme2(tmp_path / 'raw')
  before = _prepare(root, tmp_path / 'cache')
  after = _prepare(root, tmp_path / 'cache', **options)
  assert after.fingerprint != before.fingerprint
  assert _ids(after) == _ids(before)


# On these, too, the records depend, though they are neither file nor option.


def _repaired(data_set):
  repair = clips.Repair('apex', 1, 2, 'a slip')
  return dataclasses.replace(
    data_set, repairs={**data_set.repairs, ('x', 'y'): repair}
  )


def _first_part_repaired(composite):
  first, *others = composite.parts
  return dataclasses.replace(composite, parts=(_repaired(first), *others))


def _other_class(composite):
  classes = {name: dict(row) for name, row in composite.classes.items()}
  classes['casme2']['others'] = 'negative'
  return dataclasses.replace(composite, classes=classes)


def _nothing_excluded(composite):
  return dataclasses.replace(composite, excluded={})


def _other_emotion(flow_images):
  emotions = flow_images.emotions | {'2': 'negative'}
  return dataclasses.replace(flow_images, emotions=emotions)


_READINGS = [
  *((name, _repaired) for name in ('casme2', 'casme3', 'mmew', 'samm', 'smic')),
  ('megc2019', _first_part_repaired),
  ('megc2019', _other_class),
  ('megc2019', _nothing_excluded),
  ('megc2019_flow', _other_emotion),
]


def _fingerprint_of(tmp_path, monkeypatch, name, facts):
  """The fingerprint of an empty folder: that of the reading rules alone."""
  builder_cls = registry.builder(name)
  monkeypatch.setattr(builder_cls, 'FACTS', facts)
  found = raw_folder.Found(tmp_path, (), [], [], [])
  return prepare._fingerprint(builder_cls, found, {})


@pytest.mark.parametrize(('name', 'change'), _READINGS)
def test_reading_rules_are_part_of_the_fingerprint(
  tmp_path, monkeypatch, name, change
):
  facts = registry.facts(name)
  before = _fingerprint_of(tmp_path, monkeypatch, name, facts)
  other = dataclasses.replace(facts, reading=change(facts.reading))
  assert _fingerprint_of(tmp_path, monkeypatch, name, other) != before
  # What decides no record makes nothing anew.
  other = dataclasses.replace(facts, expected=None, protocols={}, config='')
  assert _fingerprint_of(tmp_path, monkeypatch, name, other) == before


def test_reading_rules_of_every_data_set_are_tested():
  assert {name for name, _ in _READINGS} == set(registry.names())


def test_another_repair_is_prepared_again(tmp_path, monkeypatch):
  root = raw_trees.casme2(tmp_path / 'raw')
  before = _prepare(root, tmp_path / 'cache')
  facts = registry.facts('casme2')
  repair = clips.Repair('apex', 14, 12, 'a slip')
  reading = dataclasses.replace(
    facts.reading, repairs={('sub01', 'EP02_01f'): repair}
  )
  monkeypatch.setattr(
    registry.builder('casme2'),
    'FACTS',
    dataclasses.replace(facts, reading=reading),
  )
  after = _prepare(root, tmp_path / 'cache')
  assert not after.from_cache
  assert after.fingerprint != before.fingerprint
  assert [s.source[0]['apex'] for s in (before, after)] == [4, 2]


def test_the_fingerprint_is_the_same_in_every_process():
  """A set or an object in the facts would prepare the data again each time."""
  program = textwrap.dedent("""
    from tfds_builders import registry
    for name in registry.names():
      print(name, repr(registry.facts(name).reading))
  """)
  texts = {
    subprocess.run(
      [sys.executable, '-c', program],
      cwd=_REPOSITORY,
      env=os.environ | {'PYTHONHASHSEED': seed},
      capture_output=True,
      text=True,
      check=True,
    ).stdout
    for seed in ('1', '2')
  }
  assert len(texts) == 1
  assert 'given to researchers' not in texts.pop()
