"""Cost of preparing and loading a data set, and of encodings of its frames.

    python -m benchmarks.input_pipeline
    python -m benchmarks.input_pipeline --clips=1000 --frames=70 --size=256

Writes a simulated raw tree of JPEG frames, like those of the data sets, and
prints, from one run, the time and peak memory from the tree to shards to
dynamic images, the time line of the last part, what it takes in pairs with
decoding and resizing alone, and a table of lossless encodings of the frames.
"Write" starts from the files and ends with a closed array_record file; "read"
starts there and ends with decoded frames; both use all cores. Files are in the
page cache, so the figures are those of the processor, not of the disk.

Measured with the second command on two cores, shared with other programs: 25 s
and 0.3 GiB to the shards, 71 s and 1.2 GiB to dynamic images. PNG took 4.6
times the space of the original bytes and was read at 0.3 times their speed,
lossless WebP 2.5 and 0.3, zlib tensors 5.3 and 0.4. So records hold the
original bytes: no lossless encoding is smaller or faster, because the files of
the data sets are JPEGs, whose artefacts it would have to store, too.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
import concurrent.futures
import contextlib
import functools
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import time
import zlib

from array_record.python import array_record_module
import cv2
import numpy as np

from benchmarks import timeline
from configs import casme2
from dianet_jax.clips import images
from dianet_jax.core import runtime
from dianet_jax.data import dataset as dataset_lib
from dianet_jax.experiments import configuration
from tfds_builders import prepare, raw_folder, registry, simulate
from tfds_builders.simulation import layouts as layouts_lib

# Clips whose pictures are drawn; the others link to the same files, since
# drawing takes longer than all that is measured.
_SUBJECTS = 2
_DRAWN_PER_SUBJECT = 5
# Enough for a steady figure; the slowest encoding writes 9 frames a second.
_COMPARED_CLIPS = 2
# Whose time line is drawn: a few batches.
_TIMED_CLIPS = 64


def write_tree(
  root: pathlib.Path, clips: int, frames: int, size: int
) -> pathlib.Path:
  """A raw tree in CASME II's layout; returns its root."""
  drawn = simulate.write(
    'casme2', root / 'drawn', subjects=_SUBJECTS,
    clips_per_subject=_DRAWN_PER_SUBJECT, frame_height=size, frame_width=size,
  )  # fmt: skip
  folders = sorted({path.parent for path in drawn.rglob('*.jpg')})
  sources = [sorted(folder.iterdir()) for folder in folders]
  emotions = list(registry.facts('casme2').simulation.expressions)
  tree = root / 'raw'
  rows = [
    ['Subject', 'Filename', 'OnsetFrame', 'ApexFrame', 'OffsetFrame',
     'Estimated Emotion']
  ]  # fmt: skip
  for clip in range(clips):
    # Equal frames in two subjects are refused.
    subject, index = divmod(clip, -(-clips // _SUBJECTS))
    drawn_clip = subject * _DRAWN_PER_SUBJECT + index % _DRAWN_PER_SUBJECT
    name = f'EP{index + 1:02d}'
    folder = tree / 'Cropped' / f'sub{subject + 1:02d}' / name
    folder.mkdir(parents=True)
    source = sources[drawn_clip]
    for number in range(frames):
      path = source[number % len(source)]
      os.link(path, folder / f'reg_img{number + 1}.jpg')
    emotion = emotions[clip % len(emotions)]
    rows.append([subject + 1, name, 1, 1 + frames // 2, frames, emotion])
  sheet = tree / 'CASME2-coding-20140508.xlsx'
  layouts_lib.write_sheet(sheet, 'Sheet1', rows)
  shutil.copy(drawn / raw_folder.SIMULATED_MARK, tree)
  return tree


@contextlib.contextmanager
def _timed(what: str, clips: int) -> Iterator[None]:
  start = time.perf_counter()
  yield
  seconds = time.perf_counter() - start
  # Kilobytes on Linux; bytes on macOS.
  unit = 2**30 if sys.platform == 'darwin' else 2**20
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
  print(
    f'{what:<36}{seconds:8.1f} s {clips / seconds:8.1f} clips/s'
    f'{peak:8.2f} GiB peak so far',
    flush=True,
  )


def measure_pipeline(
  tree: pathlib.Path, cache: pathlib.Path, clips: int
) -> prepare.PreparedRecords:
  """Times raw tree -> dynamic images; returns the prepared records."""
  with _timed('raw files to checked shards', clips):
    prepared = prepare.prepare('casme2', tree, cache / 'records')
  shards = list(prepared.records_dir.glob('*.array_record*'))
  read = functools.partial(_read_all, prepared.source)
  with _timed('shards to bytes, one thread', clips):
    read(1)
  with _timed(f'shards to bytes, {os.cpu_count()} threads', clips):
    read(os.cpu_count())
  config = casme2.get_config()
  config.data.manual_dir = str(tree)
  config.data.cache_dir = str(cache)
  config = configuration.from_mapping(config.to_dict()).data
  with _timed('shards to dynamic images', clips):
    [inputs] = dataset_lib.load(config, 0).inputs.values()
  if clips < 100:
    with _timed('the same, without compiling', clips):
      dataset_lib.load(config, 0)
  taken = range(min(clips, _TIMED_CLIPS))
  timeline.show([prepared.source[clip] for clip in taken], config)
  size = sum(shard.stat().st_size for shard in shards)
  print(
    f'{len(shards)} shards, {size / 2**20:.0f} MiB; dynamic images '
    f'{inputs[0].shape}, {inputs.nbytes / 2**20:.0f} MiB'
  )
  return prepared


def _read_all(source, threads: int) -> None:
  with concurrent.futures.ThreadPoolExecutor(threads) as pool:
    for _ in pool.map(lambda i: len(source[i]['frames']), range(len(source))):
      pass


def _cv2_encoder(suffix: str, *options: int) -> Callable[[bytes], bytes]:
  def encode(file: bytes) -> bytes:
    image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode(suffix, image, options)[1].tobytes()

  return encode


def _cv2_decode(stored: bytes) -> np.ndarray:
  image = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_COLOR)
  return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _encodings(size: int):
  """Name -> (file's bytes to stored bytes, stored bytes to RGB)."""

  def unzip(stored: bytes) -> np.ndarray:
    values = np.frombuffer(zlib.decompress(stored), np.uint8)
    return values.reshape(size, size, 3)

  return {
    'original bytes': (lambda file: file, images.decode),
    'PNG': (_cv2_encoder('.png'), _cv2_decode),
    'WebP, lossless': (
      _cv2_encoder('.webp', cv2.IMWRITE_WEBP_QUALITY, 101),
      _cv2_decode,
    ),
    # As `tfds.features.Tensor(encoding='zlib')` stores it.
    'zlib tensor': (
      lambda file: zlib.compress(images.decode(file).tobytes()),
      unzip,
    ),
  }


def compare_encodings(
  source, folder: pathlib.Path, size: int
) -> dict[str, tuple[float, float, float]]:
  """Encoding -> bytes per frame, frames written and read per second.

  Raises:
    ValueError: an encoding does not restore the pixels.
  """
  clips = range(min(_COMPARED_CLIPS, len(source)))
  files = [file for clip in clips for file in source[clip]['frames']]
  expected = images.decode(files[0])
  results = {}
  for name, (encode, decode) in _encodings(size).items():
    path = folder / f'{name}.array_record'
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
      start = time.perf_counter()
      _write(path, pool.map(encode, files))
      written = time.perf_counter()
      first = _read(path, decode, len(files), pool)
      read = time.perf_counter()
    if not np.array_equal(first, expected):
      raise ValueError(f'{name} does not give the pixels back')
    results[name] = (
      path.stat().st_size / len(files),
      len(files) / (written - start),
      len(files) / (read - written),
    )
  return results


def _write(path: pathlib.Path, stored: Iterable[bytes]) -> None:
  # As TFDS opens it: every record can be read by itself.
  writer = array_record_module.ArrayRecordWriter(str(path), 'group_size:1')
  for record in stored:
    writer.write(record)
  writer.close()


def _read(
  path: pathlib.Path,
  decode: Callable[[bytes], np.ndarray],
  records: int,
  pool: concurrent.futures.Executor,
) -> np.ndarray:
  """Reads and decodes all records; returns the first image."""
  reader = array_record_module.ArrayRecordReader(str(path))
  images = pool.map(lambda i: decode(reader.read([i])[0]), range(records))
  first = next(images)
  for _ in images:
    pass
  reader.close()
  return first


def print_table(results: dict[str, tuple[float, float, float]]) -> None:
  """Prints one row per encoding, with ratios to the first in brackets."""
  reference = next(iter(results.values()))
  print(f'{"":<16}{"KB/frame":>18}{"written/s":>18}{"read/s":>18}')
  for name, (size, *speeds) in results.items():
    cells = [(size / 1000, size / reference[0])]
    cells += [(s, s / r) for s, r in zip(speeds, reference[1:], strict=True)]
    texts = [f'{value:.1f} ({ratio:.2f})' for value, ratio in cells]
    print(f'{name:<16}' + ''.join(f'{text:>18}' for text in texts))


def main() -> None:
  """Runs everything and removes the files it wrote."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  for name, default in {'clips': 64, 'frames': 70, 'size': 256}.items():
    parser.add_argument(
      f'--{name}', type=int, default=default, help='by default %(default)s'
    )
  parser.add_argument('--folder', help='where to write; removed afterwards')
  options = parser.parse_args()
  with tempfile.TemporaryDirectory(dir=options.folder) as folder:
    root = pathlib.Path(folder)
    print(
      f'{options.clips} clips of {options.frames} frames, {options.size} x '
      f'{options.size} x 3, simulated; {os.cpu_count()} cores'
    )
    # As a run does: a device is a core, and freed memory is used again.
    runtime.configure(root / 'cache')
    tree = write_tree(root, options.clips, options.frames, options.size)
    prepared = measure_pipeline(tree, root / 'cache', options.clips)
    print_table(compare_encodings(prepared.source, root, options.size))


if __name__ == '__main__':
  main()
