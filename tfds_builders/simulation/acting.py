"""What a simulated face does in a long video, and when.

Expressions are what a spotter is to find. Everything else happens between or
beside them, and is what it must not take for one: blinks, gaze, speech, turns
of the head, drift and light.
"""

from collections.abc import Mapping
import dataclasses
from typing import Literal

import numpy as np

from tfds_builders.simulation import layouts

# As CASME II calls them -> which action units move.
EXPRESSIONS = {
  'happiness': layouts.SMILE.rise,
  'surprise': layouts.BROWS_UP.rise,
  'disgust': layouts.FROWN.rise,
  'sadness': {1: 0.5, 15: 1.0, 17: 0.7},
}
Content = Literal['expressions', 'talk', 'blinks', 'still']


@dataclasses.dataclass(frozen=True)
class Habits:
  """How often and how far a face moves.

  Ranges are drawn from uniformly. Pixels are those of a face 340 pixels high,
  lengths in seconds, rates a minute.
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
  # Of the smaller side's share against the larger one's, see `displacement`.
  asymmetry: tuple[float, float] = (-0.4, 0.4)
  # Between two expressions, at least.
  pause: float = 0.6
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
  # A face that is turned by 10 degrees.
  turn_pixels: tuple[float, float] = (6.0, 18.0)
  light_rate: float = 1.0
  light_gain: tuple[float, float] = (-0.12, 0.12)


@dataclasses.dataclass(frozen=True)
class Expression:
  """An expression of the script, as a coder would write it down.

  Attributes:
    onset: number of its first frame, from 0.
    apex: number of the frame of its greatest extent.
    offset: number of its last frame.
    emotion: key of `EXPRESSIONS`.
  """

  onset: int
  apex: int
  offset: int
  emotion: str


@dataclasses.dataclass(frozen=True)
class Movement:
  """A field of displacements that comes and goes.

  Attributes:
    start: number of the frame of the first weight.
    weights: `[frame]` float32; of the field, 1 at its greatest.
    units: action unit, or a key of `long_videos.POSES`, to strength.
    pixels: the largest displacement at weight 1, of a face 340 pixels high.
    asymmetry: -1..1; how much stronger the side with greater x is.
  """

  start: int
  weights: np.ndarray
  units: Mapping[int | str, float]
  pixels: float
  asymmetry: float = 0.0


@dataclasses.dataclass(frozen=True)
class Script:
  """All that happens in one video.

  Attributes:
    frames: how many there are.
    frames_per_second: of the camera.
    expressions: in the order of their onsets.
    movements: in the order of their starts.
    light: `[frame]` float32; the gain of the light.
    moves: whether the head drifts.
  """

  frames: int
  frames_per_second: int
  expressions: tuple[Expression, ...]
  movements: tuple[Movement, ...]
  light: np.ndarray
  moves: bool


class _Writer:
  """Collects what happens, each thing with numbers of its own."""

  def __init__(self, rng, frames_per_second, seconds, habits):
    self.rng = rng
    self.rate = frames_per_second
    self.seconds = seconds
    self.habits = habits
    self.expressions: list[Expression] = []
    self.movements: list[Movement] = []

  def count(self, rate):
    """How often something happens: as a rate says, give or take a part."""
    return int(rate * self.seconds / 60 + self.rng.uniform())

  def frames(self, seconds):
    return max(1, round(seconds * self.rate))

  def add(self, start, weights, units, pixels, asymmetry=0.0):
    weights = np.asarray(weights, np.float32)
    self.movements.append(Movement(start, weights, units, pixels, asymmetry))

  def expression(self, start, kind):
    """A micro- or macro-expression; returns the seconds it takes."""
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
    # While it is held, the apex is where it begins to be.
    self.expressions.append(Expression(onset, apex, offset, emotion))
    return (offset - onset + 1) / self.rate

  def speech(self, start):
    """Syllables, one after the other; returns the seconds they take."""
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
    """The head turns or nods, and comes back; returns the seconds."""
    rng, habits = self.rng, self.habits
    seconds = rng.uniform(*habits.turn_seconds)
    shape = np.sin(np.pi * np.linspace(0, 1, self.frames(seconds) + 1)) ** 2
    way = 'yaw' if rng.uniform() < 0.6 else 'pitch'
    side = float(rng.choice((-1, 1)))
    pixels = rng.uniform(*habits.turn_pixels)
    self.add(self.frames(start), shape * side, {way: 1.0}, pixels)
    return seconds

  def blinks(self):
    """At random times; the lids close faster than they open."""
    rng, habits = self.rng, self.habits
    for _ in range(self.count(habits.blink_rate)):
      length = self.frames(rng.uniform(*habits.blink_seconds)) + 1
      start = int(rng.uniform(0, max(1, self.seconds * self.rate - length)))
      share = np.interp(np.linspace(0, 1, length), (0, 0.35, 1), (0, 1, 0))
      self.add(start, np.sin(np.pi / 2 * share) ** 2, {'blink': 1.0}, 0.0)

  def gazes(self):
    """The eyes jump aside, stay there and jump back."""
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
    """Puts things after each other, in random order and at random times."""
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
    """The gain of the light, `[frame]`: lamps that change, and stay so."""
    frames = round(self.seconds * self.rate)
    gain = np.ones(frames)
    for _ in range(self.count(self.habits.light_rate)):
      begin = self.rng.uniform(0, frames)
      slope = self.frames(self.rng.uniform(0.1, 2.0))
      size = self.rng.uniform(*self.habits.light_gain)
      gain += np.interp(np.arange(frames), (begin, begin + slope), (0, size))
    # More or less than that, and the picture is black or white.
    return np.clip(gain, 0.75, 1.25).astype(np.float32)


def write(
  rng: np.random.Generator,
  content: Content,
  frames_per_second: int,
  seconds: float,
  habits: Habits = Habits(),  # noqa: B008, it is frozen
) -> Script:
  """Decides what happens in a video.

  Args:
    rng: decides everything that is random.
    content: 'expressions': everything there is; 'talk': the same without
      expressions; 'blinks': blinks, gaze, drift and light alone; 'still':
      nothing moves.
    frames_per_second: of the camera.
    seconds: how long it takes.
    habits: how often and how far.

  Returns:
    The script; the same for generators in the same state.
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
