"""From records to phase images, and the notes about unusual data."""

import dataclasses
import shutil

import cv2
import numpy as np
import openpyxl
import pytest

from configs import casme2, megc2019
from dianet_jax.core import errors
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.data import inputs as inputs_lib
from dianet_jax.motion import rank_pooling, scaling
from tfds_builders import simulate


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
  """A small simulated CASME II."""
  root = tmp_path_factory.mktemp('raw') / 'casme2'
  return simulate.write(
    'casme2',
    root,
    subjects=2,
    clips_per_subject=5,
    # No smaller: the face detector wants 80 pixels.
    frame_height=140,
    frame_width=115,
  )


@pytest.fixture
def load(make_config, raw):
  def load_clips(module=casme2, seed=0, **overrides):
    overrides = {
      'data__manual_dir': str(raw),
      'data__frame_size': 32,
      'data__image_size': 16,
      'train__augment__shift_pixels': 1,
    } | overrides
    return dataset_lib.load(make_config(module, **overrides).data, seed)

  return load_clips


def images_of(dataset, variant=0):
  """[clip, view, height, width, channel]."""
  return dataset.inputs['dynamic_images'][variant]


def test_phase_images_are_those_of_the_frames_on_disk(load, raw):
  dataset = load(data__image_size=32)
  assert images_of(dataset).shape == (10, 2, 32, 32, 3)
  assert images_of(dataset).dtype == np.float32 and dataset.simulated
  assert dataset.classes[dataset.labels[3]] == dataset.clips[3].emotion
  # One clip again, by hand and in float64.
  clip = dataset.clips[3]
  folder = raw / 'Cropped' / clip.clip_id
  paths = sorted(folder.iterdir(), key=lambda p: int(p.stem.split('img')[1]))
  frames = [cv2.imread(str(path))[..., ::-1] for path in paths]
  frames = np.stack(
    [cv2.resize(f, (32, 32), interpolation=cv2.INTER_AREA) for f in frames]
  ).astype(np.float64)
  # The apex is somewhere inside; the right one explains both phases.
  errors_at = []
  for apex in range(2, len(frames) - 2):
    phases = frames[: apex + 1], frames[apex:]
    error = 0
    for image, part in zip(images_of(dataset)[3], phases):
      alpha = rank_pooling.coefficients(len(part))
      error += np.abs(np.tensordot(alpha, part, 1) - image).max()
    errors_at.append(error)
  assert min(errors_at) < 1e-3 < np.median(errors_at)


def test_aligned_faces(load):
  pytest.importorskip('dlib', reason='the extra [align] is not installed')
  plain = load(data__image_size=32)
  aligned = load(data__image_size=32, data__align=True)
  assert images_of(aligned).shape == images_of(plain).shape
  assert [c.clip_id for c in aligned.clips] == [c.clip_id for c in plain.clips]
  assert np.abs(images_of(aligned) - images_of(plain)).max() > 1


def test_a_custom_protocol(load):
  pairs = ('happiness=positive', 'disgust=negative', 'Repression=negative')
  dataset = load(data__emotions=(*pairs, 'others=', 'surprise='))
  assert dataset.classes == ('positive', 'negative')
  raw = [clip.emotion for clip in dataset.clips]
  assert sorted(set(raw)) == ['disgust', 'happiness', 'repression']
  assert [dataset.classes[label] for label in dataset.labels] == [
    'positive' if emotion == 'happiness' else 'negative' for emotion in raw
  ]


def test_emotions_that_no_clip_has_or_that_contradict_each_other(load):
  with pytest.raises(errors.UserError) as info:
    load(data__emotions=('joy=positive', 'grief=negative'))
  assert "belongs to --config.data.emotions=('joy=" in str(info.value)
  assert 'the emotions disgust, happiness, ' in str(info.value)
  pairs = ('happiness=positive', 'disgust=negative', 'happiness=negative')
  with pytest.raises(errors.UserError, match='each emotion once'):
    load(data__emotions=pairs)


def test_images_of_earlier_offsets_are_further_variants(load):
  plain, jittered = load(), load(data__offset_jitter_frames=2)
  plain_images = images_of(plain)
  assert jittered.inputs['dynamic_images'].shape == (3, *plain_images.shape)
  np.testing.assert_array_equal(jittered.labels, plain.labels)
  annotated, one, two = jittered.inputs['dynamic_images']
  np.testing.assert_array_equal(annotated, plain_images)
  for variant in (one, two):
    np.testing.assert_array_equal(variant[:, 0], images_of(plain)[:, 0])
  for a, b in ((images_of(plain), one), (one, two), (images_of(plain), two)):
    assert (np.abs(a - b)[:, 1].max(axis=(1, 2, 3)) > 0.1).all()


def test_single_phase(load):
  dataset = load(data__phases=('onset_offset',), model__fusion='concat')
  assert images_of(dataset).shape[1] == 1


def test_permuted_labels_are_the_same_labels_elsewhere(load):
  plain, control = load(), load(data__permute_labels=True)
  assert sorted(plain.labels) == sorted(control.labels)
  assert (plain.labels != control.labels).any()
  np.testing.assert_array_equal(images_of(plain), images_of(control))
  assert any('shuffled' in note for note in control.notes)
  other = load(data__permute_labels=True, seed=1)
  assert (other.labels != control.labels).any()


def test_a_protocol_of_another_data_set(load):
  with pytest.raises(errors.UserError, match='is for the data set samm, not'):
    load(data__protocol='samm_5class')


def write_flow(root, rows):
  """A tree of phase-flow images: (data set, subject, clip, label)."""
  rng = np.random.default_rng(0)
  lines = ['dataset,sub,filename_o,label,apex,imagename,sub_filename']
  for dataset, subject, clip, label in rows:
    name = f'{subject}_{clip}'
    lines.append(f'{dataset},{subject},{clip},{label},,,{name}.jpg')
    for phase, ending in enumerate((' .png', '_1 .png')):
      # The label shows as a bright square, so that it can be learned.
      image = rng.integers(0, 60, (28, 28, 3)).astype(np.uint8)
      image[8 * label : 8 * label + 8, 5 + 4 * phase : 20] += 150
      cv2.imwrite(str(root / (name + ending)), image)
  path = root / 'combined_3_class2_for_optical_flow.csv'
  path.write_text('\n'.join(lines) + '\n')
  return root


def test_stored_phase_images_are_centred(make_config, tmp_path):
  rows = [('casme2', f'sub0{s}', f'EP0{s}', s) for s in (1, 2)]
  write_flow(tmp_path, rows)
  config = make_config(megc2019, data__manual_dir=str(tmp_path))
  dataset = dataset_lib.load(config.data, 0)
  assert images_of(dataset).shape == (2, 2, 28, 28, 3)
  first = cv2.imread(str(tmp_path / 'sub01_EP01 .png'))[..., ::-1]
  np.testing.assert_array_equal(images_of(dataset)[0, 0], first - 127.5)
  assert [clip.subject for clip in dataset.clips] == [
    'casme2/sub01', 'casme2/sub02'
  ]  # fmt: skip
  assert not dataset.simulated
  assert any('samm is absent' in note for note in dataset.notes)


def test_position_images_follow_the_flow(make_config, tmp_path):
  write_flow(tmp_path, [('samm', '006', '006_1_2', 0)])
  config = make_config(
    megc2019,
    data__manual_dir=str(tmp_path),
    data__inputs=('flow_and_positions',),
    model__fusion='concat',
  )
  with pytest.raises(errors.MissingInputError, match='no position images'):
    dataset_lib.load(config.data, 0)
  plain = make_config(megc2019, data__manual_dir=str(tmp_path))
  without = dataset_lib.load(plain.data, 0)
  for number in (2, 3):
    image = np.full((28, 28, 3), 10 * number, np.uint8)
    cv2.imwrite(str(tmp_path / f'006_006_1_2_{number} .png'), image)
  loaded = dataset_lib.load(config.data, 0)
  (images,) = images_of(loaded)
  np.testing.assert_array_equal(images[:2], images_of(without)[0])
  assert images[2:, 0, 0, 0].tolist() == [20 - 127.5, 30 - 127.5]
  # A run that reads no position images does not change with them.
  assert dataset_lib.load(plain.data, 0).fingerprint == without.fingerprint
  assert loaded.fingerprint != without.fingerprint
  # One phase and its position image would be read as two phases.
  one = dataclasses.replace(config.data, phases=('onset_apex',))
  with pytest.raises(errors.UserError, match='read with both phases'):
    dataset_lib.load(one, 0)


def test_the_fingerprint_is_of_what_the_files_hold(load, raw, tmp_path):
  before = load().fingerprint
  copy = tmp_path / 'elsewhere'
  # Copied without the times, as from a download or an archive.
  shutil.copytree(raw, copy, copy_function=shutil.copyfile)
  assert load(data__manual_dir=str(copy)).fingerprint == before
  path = sorted((copy / 'Cropped').rglob('*.jpg'))[0]
  cv2.imwrite(str(path), cv2.imread(str(path))[::-1])
  assert load(data__manual_dir=str(copy)).fingerprint != before


def test_stored_phase_images_have_no_whole_clip(make_config, tmp_path):
  write_flow(tmp_path, [('samm', '006', '006_1_2', 0)])
  config = make_config(
    megc2019,
    data__manual_dir=str(tmp_path),
    data__phases=('onset_offset',),
    model__fusion='concat',
  )
  with pytest.raises(errors.UserError, match='two phases, not the whole clip'):
    dataset_lib.load(config.data, 0)


def test_an_empty_phase_is_reported(load, raw, tmp_path):
  copy = tmp_path / 'casme2'
  shutil.copytree(raw, copy)
  path = next(copy.glob('*.xlsx'))
  book = openpyxl.load_workbook(path)
  header = [cell.value for cell in book.active[1]]
  onset, apex = (header.index(k) + 1 for k in ('OnsetFrame', 'ApexFrame'))
  book.active.cell(2, apex).value = book.active.cell(2, onset).value
  book.save(path)
  dataset = load(data__manual_dir=str(copy))
  empty = np.flatnonzero(np.abs(images_of(dataset)).max(axis=(2, 3, 4)) == 0)
  assert len(empty) == 1
  reported = [
    note for note in dataset.notes if 'onset_apex is a single' in note
  ]
  assert len(reported) == 1
  clip = dataset.clips[np.unravel_index(empty[0], (10, 2))[0]]
  assert reported[0].startswith(clip.clip_id)


FLOW = {
  'data__inputs': ('long_term_flow',),
  'data__flow__method': 'farneback',
  'data__sampling__frames': 150,
  'model__fusion': 'concat',
}


def test_flow_of_the_frames_and_clips_too_short_for_it(load, monkeypatch):
  dataset = load(**FLOW)
  # The model's own name, fed with another representation.
  assert dataset.representations == {'dynamic_images': 'long_term_flow'}
  assert images_of(dataset).shape == (10, 150, 16, 16, 3)
  assert len(dataset.views['dynamic_images']) == 150
  assert [c.name for c in dataset.channels['dynamic_images']] == [
    'u', 'v', 'strain'
  ]  # fmt: skip
  text = 'fewer than 151 frames in onset_offset: some repeated'
  short = [clip.clip_id for clip in dataset.clips if text in clip.notes]
  [note] = [note for note in dataset.notes if text in note]
  # Counted in one note, by the first of them.
  more = f' and {len(short) - 1} more' if len(short) > 1 else ''
  assert note == f'{short[0]}{more} ({len(short)} of 10 clips): {text}'
  assert not any(text in note for note in load().notes)
  # A second start decodes nothing.
  monkeypatch.setattr(inputs_lib, 'decode_clip', None)
  np.testing.assert_array_equal(images_of(load(**FLOW)), images_of(dataset))


def test_simulation_and_manual_dir_exclude_each_other(load):
  with pytest.raises(errors.UserError, match='exclude each other'):
    load(data__simulation__enabled=True)


def test_a_simulated_tree_that_lost_files_is_rebuilt(
  make_config, tmp_path, capsys
):
  config = make_config(
    casme2,
    data__cache_dir=str(tmp_path),
    data__simulation__enabled=True,
    data__simulation__subjects=1,
    data__simulation__clips_per_subject=2,
  )
  before = dataset_lib.open_records(config.data)
  (tree,) = (tmp_path / 'simulated').iterdir()
  shutil.rmtree(next(tree.rglob('EP*')))
  capsys.readouterr()
  after = dataset_lib.open_records(config.data)
  assert f'{tree} is damaged (Cropped/sub01/EP' in capsys.readouterr().out
  for one, other in zip(before.source, after.source, strict=True):
    assert list(one['frames']) == list(other['frames'])


def test_display_of_a_phase_image(load):
  shown = scaling.to_display(images_of(load())[0, 0])
  assert shown.dtype == np.uint8 and (shown.min(), shown.max()) == (0, 255)


def test_inputs_too_large_for_memory_are_refused(make_config):
  data = make_config(
    data__frame_size=2048, data__image_size=1024, data__offset_jitter_frames=99
  ).data
  chosen = {'dynamic_images': 'dynamic_images'}
  dataset_lib._check_memory(1, data, chosen)
  with pytest.raises(errors.UserError, match='image_size=1024 or .*frames=99'):
    dataset_lib._check_memory(10**6, data, chosen)


def test_a_custom_protocol_without_clips_is_named(load):
  with pytest.raises(errors.UserError, match='config.data.emotions=.*nope'):
    load(data__emotions=('nope=a', 'nopf=b'))
