"""Generates the script of a simulated long video: all movements of a face.

Besides expressions, a script has the movements that a spotter must not confuse
with them: blinks, saccades, speech, head rotations, drift and changes of
illumination.
"""

from collections.abc import Mapping
import dataclasses
from typing import Literal

import numpy as np

from tfds_builders.simulation import layouts

# Emotion, as named in CASME II -> strength of each action unit.
EXPRESSIONS = {
  'happiness': layouts.SMILE.rise,
  'surprise': layouts.BROWS_UP.rise,
  'disgust': layouts.FROWN.rise,
  'sadness': {1: 0.5, 15: 1.0, 17: 0.7},
}
Content = Literal['expressions', 'talk', 'blinks', 'still']


@dataclasses.dataclass(frozen=True)
class Habits:
  """Rates, durations and amplitudes of the movements of a face.

  Values are drawn uniformly from ranges. Pixels refer to a face 340 pixels
  high, durations are in seconds, rates per minute.
  """

  micro_rate: float = 5.0
  micro_rise: tuple[float, float] = (0.10, 0.22)
  micro_fall: tuple[float, float] = (0.12, 0.25)
  micro_pixels: tuple[float, float] = (1.2, 3.0)
  macro_rate: float = 3.0
  macro_rise: tuple[float, float] = (0.25, 0.6)
  macro_hold: tuple[float, float] = (0.2, 1.2)
  macro_fall: tuple[float, float] = (0.3, 0.8)
  macro_pixels: tuple[float, float] = (4.0, 10.0)
  # Difference between the two sides of the face, see `motion.displacement`.
  asymmetry: tuple[float, float] = (-0.4, 0.4)
  pause: float = 0.6  # Minimal time between two events.
  blink_rate: float = 15.0
  blink_seconds: tuple[float, float] = (0.15, 0.30)
  gaze_rate: float = 8.0
  gaze_pixels: tuple[float, float] = (2.0, 6.0)
  speech_rate: float = 1.0
  speech_seconds: tuple[float, float] = (3.0, 6.0)
  syllable_seconds: tuple[float, float] = (0.12, 0.30)
  speech_pixels: tuple[float, float] = (2.0, 7.0)
  turn_rate: float = 1.5
  turn_seconds: tuple[float, float] = (0.8, 2.0)
  turn_pixels: tuple[float, float] = (6.0, 18.0)  # A rotation by 10 degrees.
  light_rate: float = 1.0
  light_gain: tuple[float, float] = (-0.12, 0.12)


@dataclasses.dataclass(frozen=True)
class Expression:
  """An expression of the script, as a coder would annotate it.

  Attributes:
    onset: number of the first frame, from 0.
    apex: number of the frame of the largest displacement.
    offset: number of the last frame.
    emotion: key of `EXPRESSIONS`.
  """

  onset: int
  apex: int
  offset: int
  emotion: str


@dataclasses.dataclass(frozen=True)
class Movement:
  """A displacement field with a weight for each frame.

  Attributes:
    start: number of the frame of the first weight.
    weights: float32 [frame], factor of the field, 1 at its maximum.
    units: action unit, or a key of `long_videos.POSES` -> strength.
    pixels: largest displacement at weight 1, for a face 340 pixels high.
    asymmetry: -1..1; how much stronger the side with larger x moves.
  """

  start: int
  weights: np.ndarray
  units: Mapping[int | str, float]
  pixels: float
  asymmetry: float = 0.0


@dataclasses.dataclass(frozen=True)
class Script:
  """All movements in one video.

  Attributes:
    frames: number of frames.
    frames_per_second: frame rate of the camera.
    expressions: in the order of their onsets.
    movements: in the order of their starts.
    light: float32 [frame], gain of the illumination.
    moves: whether the head drifts.
  """

  frames: int
  frames_per_second: int
  expressions: tuple[Expression, ...]
  movements: tuple[Movement, ...]
  light: np.ndarray
  moves: bool


class _Writer:
  """Collects the movements of a script."""

  def __init__(self, rng, frames_per_second, seconds, habits):
    self.rng = rng
    self.rate = frames_per_second
    self.seconds = seconds
    self.habits = habits
    self.expressions: list[Expression] = []
    self.movements: list[Movement] = []

  def count(self, rate):
    """Number of events for a rate per minute, rounded at random."""
    return int(rate * self.seconds / 60 + self.rng.uniform())

  def frames(self, seconds):
    return max(1, round(seconds * self.rate))

  def add(self, start, weights, units, pixels, asymmetry=0.0):
    weights = np.asarray(weights, np.float32)
    self.movements.append(Movement(start, weights, units, pixels, asymmetry))

  def expression(self, start, kind):
    """Adds a micro- or macro-expression; returns its duration in seconds."""
    rng, habits = self.rng, self.habits
    emotion = str(rng.choice(list(EXPRESSIONS)))
    rise, fall = (
      self.frames(rng.uniform(*getattr(habits, f'{kind}_{part}')))
      for part in ('rise', 'fall')
    )
    hold = 0
    if kind == 'macro':
      hold = self.frames(rng.uniform(*habits.macro_hold))
    onset = self.frames(start)
    apex, offset = onset + rise, onset + rise + hold + fall
    frame = np.arange(onset, offset + 1)
    share = np.interp(frame, (onset, apex, apex + hold, offset), (0, 1, 1, 0))
    weights = 0.5 - 0.5 * np.cos(np.pi * share)
    vary = np.exp(0.25 * rng.standard_normal(8))
    units = {
      unit: strength * float(vary[index])
      for index, (unit, strength) in enumerate(EXPRESSIONS[emotion].items())
    }
    pixels = rng.uniform(*getattr(habits, f'{kind}_pixels'))
    self.add(onset, weights, units, pixels, rng.uniform(*habits.asymmetry))
    # During the plateau of a macro-expression, its first frame is the apex.
    self.expressions.append(Expression(onset, apex, offset, emotion))
    return (offset - onset + 1) / self.rate

  def speech(self, start):
    """Adds a sequence of syllables; returns its duration in seconds."""
    rng, habits = self.rng, self.habits
    length = rng.uniform(*habits.speech_seconds)
    now = start
    while now < start + length:
      seconds = rng.uniform(*habits.syllable_seconds)
      shape = np.sin(np.pi * np.linspace(0, 1, self.frames(seconds) + 2))
      units = {
        25: rng.uniform(0.5, 1),
        int(rng.choice((12, 17, 24))): rng.uniform(0, 0.6),
      }
      self.add(
        self.frames(now), shape**2, units, rng.uniform(*habits.speech_pixels)
      )
      now += 0.8 * seconds
    return length + habits.syllable_seconds[1]

  def turn(self, start):
    """Adds a rotation or nod of the head; returns its duration in seconds."""
    rng, habits = self.rng, self.habits
    seconds = rng.uniform(*habits.turn_seconds)
    shape = np.sin(np.pi * np.linspace(0, 1, self.frames(seconds) + 1)) ** 2
    axis = 'yaw' if rng.uniform() < 0.6 else 'pitch'
    side = float(rng.choice((-1, 1)))
    pixels = rng.uniform(*habits.turn_pixels)
    self.add(self.frames(start), shape * side, {axis: 1.0}, pixels)
    return seconds

  def blinks(self):
    """Adds blinks at random times; eyelids close faster than they open."""
    rng, habits = self.rng, self.habits
    for _ in range(self.count(habits.blink_rate)):
      length = self.frames(rng.uniform(*habits.blink_seconds)) + 1
      start = int(rng.uniform(0, max(1, self.seconds * self.rate - length)))
      share = np.interp(np.linspace(0, 1, length), (0, 0.35, 1), (0, 1, 0))
      self.add(start, np.sin(np.pi / 2 * share) ** 2, {'blink': 1.0}, 0.0)

  def gazes(self):
    """Adds saccades to the side and back, at random times."""
    rng, habits = self.rng, self.habits
    for _ in range(self.count(habits.gaze_rate)):
      length = self.frames(rng.uniform(0.5, 2.5))
      start = int(rng.uniform(0, max(1, self.seconds * self.rate - length)))
      jump = max(2, self.frames(0.05))
      frame = np.arange(length + 2 * jump)
      ends = (0, jump, length + jump, length + 2 * jump)
      weights = np.interp(frame, ends, (0, 1, 1, 0)) * rng.choice((-1, 1))
      self.add(start, weights, {'gaze': 1.0}, rng.uniform(*habits.gaze_pixels))

  def in_turn(self, kinds):
    """Adds events one after another, in random order with random gaps."""
    rng, habits = self.rng, self.habits
    order = list(rng.permutation(kinds))
    longest = {
      'micro': habits.micro_rise[1] + habits.micro_fall[1],
      'macro': habits.macro_rise[1] + habits.macro_hold[1]
      + habits.macro_fall[1],
      'speech': habits.speech_seconds[1] + 2 * habits.syllable_seconds[1],
      'turn': habits.turn_seconds[1],
    }  # fmt: skip
    ends = 1.0
    taken = sum(longest[kind] + habits.pause for kind in order) + 2 * ends
    while order and taken > self.seconds:
      taken -= longest[order.pop()] + habits.pause
    gaps = rng.dirichlet(np.ones(len(order) + 1)) * (self.seconds - taken)
    now = ends
    for kind, gap in zip(order, gaps):
      now += gap
      if kind in ('micro', 'macro'):
        now += self.expression(now, kind)
      else:
        now += getattr(self, kind)(now)
      now += habits.pause

  def light(self):
    """Gain of the illumination, float32 [frame], with lasting changes."""
    frames = round(self.seconds * self.rate)
    gain = np.ones(frames)
    for _ in range(self.count(self.habits.light_rate)):
      begin = self.rng.uniform(0, frames)
      slope = self.frames(self.rng.uniform(0.1, 2.0))
      size = self.rng.uniform(*self.habits.light_gain)
      gain += np.interp(np.arange(frames), (begin, begin + slope), (0, size))
    # Prevents saturation.
    return np.clip(gain, 0.75, 1.25).astype(np.float32)


def write(
  rng: np.random.Generator,
  content: Content,
  frames_per_second: int,
  seconds: float,
  habits: Habits = Habits(),  # noqa: B008, it is frozen
) -> Script:
  """Generates the script of a video.

  Args:
    rng: random generator.
    content: 'expressions': all movements; 'talk': all but expressions;
      'blinks': only blinks, saccades, drift and changes of illumination;
      'still': none.
    frames_per_second: frame rate of the camera.
    seconds: duration.
    habits: rates, durations and amplitudes.

  Returns:
    The script, which depends only on the arguments.
  """
  writer = _Writer(rng, frames_per_second, seconds, habits)
  rates = {
    'micro': habits.micro_rate * (content == 'expressions'),
    'macro': habits.macro_rate * (content == 'expressions'),
    'speech': habits.speech_rate * (content in ('expressions', 'talk')),
    'turn': habits.turn_rate * (content in ('expressions', 'talk')),
  }
  kinds = [
    kind
    for kind, rate in rates.items()
    if rate
    for _ in range(max(1, writer.count(rate)))
  ]
  if kinds:
    writer.in_turn(kinds)
  if content != 'still':
    writer.blinks()
    writer.gazes()
  light = writer.light()
  if content == 'still':
    light = np.ones_like(light)
  return Script(
    len(light),
    frames_per_second,
    tuple(sorted(writer.expressions, key=lambda item: item.onset)),
    tuple(sorted(writer.movements, key=lambda item: item.start)),
    light,
    content != 'still',
  )
