"""PyTorch's files are read bit for bit, and nothing in them is executed."""

import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from dianet_jax.models import torch_files
from tests.support import torch_like


@pytest.fixture
def entries():
  rng = np.random.default_rng(0)
  return {
    'conv.weight': rng.normal(size=(4, 3, 2, 2)).astype(np.float32),
    'norm.num_batches_tracked': np.array(7),
    'half': rng.normal(size=3).astype(np.float16),
    'mask': np.array([True, False]),
    'nothing': np.zeros((0, 3)),
  }


def assert_same(found, entries):
  assert found.keys() == entries.keys()
  for name, value in entries.items():
    assert found[name].dtype == value.dtype
    np.testing.assert_array_equal(found[name], value)


both_forms = pytest.mark.parametrize('legacy', [False, True])


@both_forms
def test_both_forms(tmp_path, monkeypatch, entries, legacy):
  path = torch_like.write(tmp_path / 'a.pth', entries, monkeypatch, legacy)
  assert_same(torch_files.read(path), entries)


@both_forms
def test_one_state_dict_among_other_things(
  tmp_path, monkeypatch, entries, legacy
):
  moment = {0: {'step': 3, 'moment': np.zeros(4)}}
  content = {
    'epoch': 12,
    'loss': 0.5,
    'state_dict': {f'module.{name}': a for name, a in entries.items()},
    'optimizer': {'state': moment, 'groups': [{'rates': (0.1, None)}]},
  }
  path = torch_like.write(tmp_path / 'a.pth', content, monkeypatch, legacy)
  assert_same(torch_files.read(path), entries)
  content['teacher'] = content['state_dict']
  path = torch_like.write(tmp_path / 'a.pth', content, monkeypatch, legacy)
  with pytest.raises(ValueError, match="2: .'state_dict', 'teacher'"):
    torch_files.read(path)


@both_forms
def test_views(tmp_path, monkeypatch, legacy):
  values = np.arange(24, dtype=np.float32)
  storage = torch_like.Storage('0', values)
  content = {
    'turned': torch_like.View(storage, 6, (3, 2), (2, 6)),
    'whole': torch_like.View(storage, 0, (24,), (1,)),
  }
  path = torch_like.write(tmp_path / 'a.pth', content, monkeypatch, legacy)
  found = torch_files.read(path)
  np.testing.assert_array_equal(
    found['turned'], values.reshape(4, 6)[1:3, ::2].T
  )
  np.testing.assert_array_equal(found['whole'], values)


@both_forms
@pytest.mark.parametrize(
  'offset,shape,strides',
  [
    (0, (5,), (1,)),
    (3, (2,), (1,)),
    (0, (2, 2), (3, 1)),
    (-1, (2,), (1,)),
    (2, (3,), (-1,)),
    # One value as a billion.
    (0, (10**9,), (0,)),
    (0, (2,), ()),
    (0.0, (2,), (1,)),
  ],
)
def test_tensors_beyond_their_storage_are_refused(
  tmp_path, monkeypatch, legacy, offset, shape, strides
):
  storage = torch_like.Storage('0', np.arange(4, dtype=np.float32))
  view = torch_like.View(storage, offset, shape, strides)
  path = torch_like.write(tmp_path / 'a.pth', {'x': view}, monkeypatch, legacy)
  with pytest.raises(ValueError):
    torch_files.read(path)


class Harm:
  """What a hostile file does if it is unpickled."""

  def __init__(self, function, *arguments):
    self.call = function, arguments

  def __reduce__(self):
    return self.call


@both_forms
@pytest.mark.parametrize('place', ['first', 'inside', 'alone'])
def test_a_hostile_file_is_refused_and_not_executed(
  tmp_path, monkeypatch, entries, legacy, place
):
  harmed = tmp_path / 'harmed'
  harm = Harm(os.mkdir, str(harmed))
  content = {
    'first': {'harm': harm, **entries},
    'inside': {'state_dict': entries, 'more': [{'x': (harm,)}]},
    'alone': harm,
  }[place]
  path = torch_like.write(tmp_path / 'a.pth', content, monkeypatch, legacy)
  with pytest.raises(
    ValueError, match=r"would call 'posix\.mkdir', and it was not"
  ):
    torch_files.read(path)
  assert not harmed.exists()
  pickle.loads(pickle.dumps(harm))
  assert harmed.exists()


@pytest.mark.parametrize(
  'harm',
  [
    Harm(eval, 'pytest.fail()'),
    Harm(getattr, 'text', 'upper'),
    Harm(dict, [('x', 1)]),
    pathlib.Path('x'),
    {1, 2},
    np.zeros(2),
  ],
)
def test_nothing_but_tensors_is_made(tmp_path, monkeypatch, harm):
  path = torch_like.write(tmp_path / 'a.pth', {'x': [harm]}, monkeypatch)
  with pytest.raises(ValueError, match='would call'):
    torch_files.read(path)


def nested_tuples(depth):
  """As keys they would be hashed 2 ** depth times."""
  made = ()
  for _ in range(depth):
    made = (made, made)
  return made


@pytest.mark.parametrize(
  'program',
  [
    b'',
    b'no pickle',
    pickle.dumps({'no': 'tensor'}, 2),
    pickle.dumps([1], 2),
    # An empty stack, a mark or a memo that is not there, a loop of no end.
    b'.',
    b'\x80\x02t.',
    b'\x80\x02h\x01.',
    b'\x80\x02a.',
    b'\x80\x02(}u.',
    b'\x80\x02K\x01K\x02a.',
    # A name of a billion letters; the memo's billionth place.
    b'\x80\x02X\xff\xff\xff\x7fa.',
    b'\x80\x02Nr\xff\xff\xff\xff.',
    b'\x80\x02K\x01Q.',
  ],
)
@both_forms
def test_invalid_programs_are_refused(tmp_path, program, legacy):
  path = tmp_path / 'a.pth'
  if legacy:
    head = [0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}]
    start = b''.join(pickle.dumps(one, 2) for one in head)
    path.write_bytes(start + program)
  else:
    with zipfile.ZipFile(path, 'w') as archive:
      archive.writestr('a/data.pkl', program)
  with pytest.raises(ValueError):
    torch_files.read(path)


def test_keys_of_exponential_size_are_refused(tmp_path):
  path = tmp_path / 'a.pth'
  with zipfile.ZipFile(path, 'w') as archive:
    program = pickle.dumps({'x': {}}, 2)
    # {(((), ()), ...): None}: each pair made of the last one twice.
    pairs = b'}))\x86' + b'q\x00h\x00\x86' * 60 + b'Ns.'
    archive.writestr('a/data.pkl', program[:2] + pairs)
  with pytest.raises(ValueError, match='no mapping of names'):
    torch_files.read(path)


@both_forms
def test_damaged_files_are_refused(tmp_path, monkeypatch, entries, legacy):
  path = torch_like.write(tmp_path / 'a.pth', entries, monkeypatch, legacy)
  whole, rng = path.read_bytes(), np.random.default_rng(0)
  for _ in range(100):
    content = bytearray(whole[: rng.integers(len(whole))])
    for place in rng.integers(len(content) or 1, size=3) * (rng.random() < 0.5):
      content[place : place + 1] = bytes([rng.integers(256)])
    path.write_bytes(content)
    with pytest.raises(ValueError):
      torch_files.read(path)


def test_compressed_entries_are_refused(tmp_path, monkeypatch, entries):
  path = torch_like.write(tmp_path / 'a.pth', entries, monkeypatch)
  with zipfile.ZipFile(path) as old:
    content = {name: old.read(name) for name in old.namelist()}
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, value in content.items():
      archive.writestr(name, value)
  with pytest.raises(ValueError, match='is compressed'):
    torch_files.read(path)


@both_forms
def test_files_of_pytorch_are_read(tmp_path, entries, legacy):
  torch = pytest.importorskip('torch')
  tensors = {name: torch.from_numpy(a) for name, a in entries.items()}
  tensors['parameter'] = torch.nn.Parameter(torch.ones(2))
  path = tmp_path / 'a.pth'
  torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)
  expected = entries | {'parameter': np.ones(2, np.float32)}
  assert_same(torch_files.read(path), expected)
  tensors['small'] = torch.tensor([0.5, -3.0], dtype=torch.bfloat16)
  torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)
  small = torch_files.read(path)['small']
  np.testing.assert_array_equal(small.astype(np.float32), [0.5, -3.0])
  network = torch.nn.Linear(2, 2)
  torch.save(network, path, _use_new_zipfile_serialization=not legacy)
  with pytest.raises(ValueError, match='would call .torch.nn.modules.linear'):
    torch_files.read(path)
