"""Rank pooling in the forms that are compared: ours and a user's."""

from collections.abc import Callable
import concurrent.futures
import dataclasses
import functools
import os

import cv2
import jax
import numpy as np

from dianet_jax.motion import rank_pooling

PHASES = ('onset_apex', 'apex_offset')
THREADS = os.cpu_count() or 1


@dataclasses.dataclass(frozen=True)
class Clips:
  """A batch whose key frames are the first, the middle and the last.

  Attributes:
    frames: uint8 [clip, frame, height, width, channel].
    spans: first and last frame of each phase.
    weights: float32 coefficients of each phase.
  """

  frames: np.ndarray
  spans: tuple[tuple[int, int], ...]
  weights: tuple[np.ndarray, ...]


def make_clips(clips: int, frames: int, size: int, levels: int = 256) -> Clips:
  """Random frames, `levels` grey levels from 255 down."""
  rng = np.random.default_rng(0)
  shape = (frames, size, size, 3)
  # Drawing all of them would take longer than all that is measured.
  clip = rng.integers(256 - levels, 256, shape, np.uint8)
  spans = (0, frames // 2), (frames // 2, frames - 1)
  weights = tuple(
    rank_pooling.coefficients(last - first + 1).astype(np.float32)
    for first, last in spans
  )
  return Clips(
    np.stack([np.roll(clip, i) for i in range(clips)]), spans, weights
  )


def _ours(clips: Clips) -> Callable[[], np.ndarray]:
  call = our_call(clips)
  return lambda: jax.block_until_ready(call())


def our_call(clips: Clips) -> functools.partial:
  """Ours, with its arguments on the device."""
  number, length = clips.frames.shape[:2]
  # Flat, as a TPU wants them; NumPy does it for nothing.
  frames = jax.device_put(clips.frames.reshape(number, length, -1))
  keys = [
    jax.device_put(np.full(number, key, np.int32))
    for key in (length, 0, length // 2, length - 1)
  ]
  return functools.partial(
    rank_pooling.dynamic_images, frames, *keys, phases=PHASES
  )


def _over_clips(
  clips: Clips, pool_phase: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Callable[[], np.ndarray]:
  """`pool_phase(frames, weights)` of every phase of every clip, on all cores.

  NumPy and OpenCV let go of the interpreter's lock.
  """
  work = [
    (clip[first : last + 1], weights)
    for clip in clips.frames
    for (first, last), weights in zip(clips.spans, clips.weights)
  ]

  def pool():
    with concurrent.futures.ThreadPoolExecutor(THREADS) as executor:
      return np.stack(list(executor.map(lambda w: pool_phase(*w), work)))

  return pool


def _numpy_product(clips: Clips) -> Callable[[], np.ndarray]:
  def pool_phase(frames, weights):
    return weights @ frames.reshape(len(frames), -1).astype(np.float32)

  return _over_clips(clips, pool_phase)


def _numpy_accumulate(clips: Clips) -> Callable[[], np.ndarray]:
  def pool_phase(frames, weights):
    image = np.zeros(frames.shape[1:], np.float32)
    product = np.empty_like(image)
    for frame, weight in zip(frames, weights):
      image += np.multiply(frame, weight, out=product)
    return image

  return _over_clips(clips, pool_phase)


def _opencv(clips: Clips) -> Callable[[], np.ndarray]:
  """Frame by frame, as the published scripts do it, with buffers kept."""
  # The threads are ours.
  cv2.setNumThreads(1)

  def pool_phase(frames, weights):
    image = np.zeros(frames.shape[1:], np.float32)
    values = np.empty_like(image)
    for frame, weight in zip(frames, weights):
      np.copyto(values, frame)
      cv2.scaleAdd(values, float(weight), image, dst=image)
    return image

  return _over_clips(clips, pool_phase)


def _torch_product(clips: Clips) -> Callable[[], np.ndarray]:
  import torch

  torch.set_num_threads(THREADS)
  number, length = clips.frames.shape[:2]
  frames = torch.from_numpy(clips.frames).reshape(number, length, -1)
  weights = torch.zeros(number, 2, length)
  for phase, (first, last) in enumerate(clips.spans):
    weights[:, phase, first : last + 1] = torch.from_numpy(clips.weights[phase])
  return lambda: torch.bmm(weights, frames.float())


def _torch_accumulate(clips: Clips) -> Callable[[], np.ndarray]:
  import torch

  torch.set_num_threads(THREADS)
  frames = torch.from_numpy(clips.frames)

  def pool():
    images = torch.zeros(len(frames), 2, *frames.shape[2:])
    for phase, (first, last) in enumerate(clips.spans):
      for t, weight in zip(range(first, last + 1), clips.weights[phase]):
        images[:, phase].add_(frames[:, t], alpha=float(weight))
    return images

  return pool


def _numba(clips: Clips) -> Callable[[], np.ndarray]:
  import numba

  numba.set_num_threads(THREADS)
  number, length = clips.frames.shape[:2]
  spans = np.array(clips.spans)
  weights = np.zeros((2, length), np.float32)
  for phase, (first, last) in enumerate(clips.spans):
    weights[phase, first : last + 1] = clips.weights[phase]

  @numba.njit(parallel=True, fastmath=True)
  def add_up(frames, images):
    # Both phases of a clip at once, so that one clip keeps two cores busy.
    for work in numba.prange(frames.shape[0] * 2):
      clip, phase = work // 2, work % 2
      image = images[clip, phase]
      for t in range(spans[phase, 0], spans[phase, 1] + 1):
        frame, weight = frames[clip, t], weights[phase, t]
        for p in range(len(image)):
          image[p] += weight * np.float32(frame[p])

  def pool():
    flat = clips.frames.reshape(number, length, -1)
    images = np.zeros((number, 2, flat.shape[2]), np.float32)
    add_up(flat, images)
    return images

  return pool


OURS, COMPILED = 'ours', 'Numba'
# Name -> the package it needs besides the core install, and its form.
FORMS = {
  OURS: ('', _ours),
  'NumPy product': ('', _numpy_product),
  'NumPy add': ('', _numpy_accumulate),
  'OpenCV add': ('', _opencv),
  'PyTorch bmm': ('torch', _torch_product),
  'PyTorch add': ('torch', _torch_accumulate),
  COMPILED: ('numba', _numba),
}
