"""Draws faces from soft polygons; they show no real people.

Coordinates are face units: (0, 0) between the eyes and the mouth, x to the
right, y down, 1 = half the width of the face. A face is about 2.7 high.
"""

import dataclasses

import cv2
import numpy as np

# A face is drawn this many times larger than a frame, so that warping it by
# fractions of a pixel blurs all frames equally.
OVERSAMPLING = 2
# Margin around the frame, as a fraction of its height, for a moving head.
MARGIN = 0.08

# Blue, green, red, 0..255.
_SKIN = np.float32([[176, 200, 238], [140, 172, 216], [96, 128, 176],
                    [58, 82, 122]])  # fmt: skip
_HAIR = np.float32([[22, 24, 30], [30, 44, 66], [60, 96, 140],
                    [120, 122, 126]])  # fmt: skip
_IRIS = np.float32([[26, 42, 70], [48, 74, 96], [130, 110, 84]])


@dataclasses.dataclass(frozen=True)
class Face:
  """A drawn face and its landmarks.

  Attributes:
    picture: `[height, width, 3]` float32, 0..255, blue, green, red; the frame
      and its margin, `OVERSAMPLING` times as large.
    height: Of the frame without the margin, pixels.
    width: Of the frame without the margin, pixels.
    margin: Frame pixels drawn beyond each edge of the frame.
    centre: (x, y) of the face's origin, in frame pixels.
    unit: Frame pixels in one face unit.
    landmarks: Name to (x, y) in face units, for the half with x >= 0.
  """

  picture: np.ndarray
  height: int
  width: int
  margin: int
  centre: tuple[float, float]
  unit: float
  landmarks: dict[str, tuple[float, float]]


class _Canvas:
  """An image on which polygons are painted, in face units."""

  def __init__(self, height, width, centre, unit, colour):
    self.pixels = np.empty((height, width, 3), np.float32)
    self.pixels[:] = colour
    self.centre = np.float64(centre)
    self.unit = unit

  def paint(self, points, colour, softness=0.0, opacity=1.0):
    """Blends `colour` in; `softness` is the edge's blur, in face units."""
    points = np.asarray(points) * self.unit + self.centre
    reach = 3 * softness * self.unit + 2
    height, width = self.pixels.shape[:2]
    left, top = np.maximum(points.min(0) - reach, 0).astype(int)
    right, bottom = (points.max(0) + reach).astype(int) + 1
    right, bottom = min(right, width), min(bottom, height)
    if left >= right or top >= bottom:
      return
    mask = np.zeros((bottom - top, right - left), np.uint8)
    corners = np.round((points - (left, top)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, shift=4)
    weight = mask.astype(np.float32) * np.float32(opacity / 255)
    if softness:
      weight = cv2.GaussianBlur(weight, (0, 0), softness * self.unit)
    part = self.pixels[top:bottom, left:right]
    part += (np.float32(colour) - part) * weight[..., None]

  def both(self, points, colour, softness=0.0, opacity=1.0):
    """Paints the points and their mirror image."""
    for side in (1, -1):
      mirrored = np.asarray(points) * (side, 1)
      self.paint(mirrored, colour, softness, opacity)


def _curve(points, closed=True):
  """Points on a smooth (Catmull-Rom) curve through the given ones."""
  points = np.asarray(points, np.float64)
  if closed:
    padded = np.concatenate([points[-1:], points, points[:2]])
  else:
    padded = np.concatenate([points[:1], points, points[-1:]])
  before, start, end, after = (
    padded[i : len(padded) - 3 + i, None] for i in range(4)
  )
  t = np.linspace(0, 1, 10, endpoint=False)[:, None]
  curve = start + 0.5 * t * (
    (end - before)
    + t * (2 * before - 5 * start + 4 * end - after)
    + t**2 * (3 * (start - end) + after - before)
  )
  curve = curve.reshape(-1, 2)
  return curve if closed else np.concatenate([curve, points[-1:]])


def _ellipse(x, y, radius_x, radius_y):
  angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
  return np.stack([x + radius_x * np.cos(angle), y + radius_y * np.sin(angle)],
                  -1)  # fmt: skip


def _stroke(points, thickness):
  """The outline of a line that is thin at both ends."""
  line = _curve(points, closed=False)
  along = np.gradient(line, axis=0)
  along /= np.linalg.norm(along, axis=1, keepdims=True)
  profile = np.sin(np.linspace(0.1, np.pi - 0.1, len(line))) ** 0.6
  across = along[:, ::-1] * (-1, 1) * profile[:, None] * thickness / 2
  return np.concatenate([line + across, (line - across)[::-1]])


def _blend(palette, position):
  """A colour at `position` (0..1) along a palette."""
  at = np.linspace(0, 1, len(palette))
  return np.float32([np.interp(position, at, c) for c in palette.T])


def _traits(rng, subject):
  """Random traits of a face; lengths in face units."""

  def about(middle, spread):
    return middle + spread * rng.uniform(-1, 1)

  # The golden ratio spreads the skin tones of few subjects evenly.
  tone = (0.2 + 0.618 * subject + 0.1 * rng.uniform()) % 1
  skin = _blend(_SKIN, tone)
  return {
    'skin': skin * np.float32(1 + 0.04 * rng.uniform(-1, 1, 3)),
    'hair': _blend(_HAIR, rng.uniform() * (1 - 0.75 * tone)),
    'iris': _blend(_IRIS, rng.uniform() * (1 - 0.8 * tone)),
    'background': np.float32(rng.uniform(95, 190))
    * np.float32(1 + 0.06 * rng.uniform(-1, 1, 3)),
    'jaw': about(0.74, 0.10),
    'chin': about(1.36, 0.07),
    'chin_width': about(0.30, 0.07),
    'hairline': about(-0.98, 0.10),
    'parting': about(0.0, 0.5),
    'long_hair': rng.uniform() < 0.5,
    'eye_x': about(0.42, 0.03),
    'eye_y': about(-0.14, 0.03),
    'eye_width': about(0.20, 0.02),
    'eye_height': about(0.080, 0.018),
    'eye_tilt': about(0.01, 0.03),
    'brow_gap': about(0.25, 0.035),
    'brow_arch': about(0.07, 0.04),
    'brow_thickness': about(0.080, 0.025),
    'nose_y': about(0.36, 0.05),
    'nose_width': about(0.20, 0.035),
    'mouth_y': about(0.80, 0.05),
    'mouth_width': about(0.37, 0.05),
    'lip_upper': about(0.075, 0.025),
    'lip_lower': about(0.105, 0.03),
    'lip_redness': about(0.5, 0.3),
    'beard': max(0.0, about(-0.1, 0.35)),
    'light_angle': rng.uniform(0, 2 * np.pi),
    'light_strength': about(0.13, 0.06),
    'freckles': int(rng.integers(20, 70)),
  }


def _landmarks(t):
  brow = t['eye_y'] - t['brow_gap']
  return {
    'brow_inner': (0.18, brow + 0.02),
    'brow_middle': (0.45, brow - t['brow_arch']),
    'brow_outer': (0.68, brow),
    'glabella': (0.0, brow + 0.05),
    'upper_lid': (t['eye_x'], t['eye_y'] - t['eye_height']),
    'lower_lid': (t['eye_x'], t['eye_y'] + t['eye_height']),
    'cheek': (0.52, 0.5 * (t['eye_y'] + t['mouth_y'])),
    'nose_wing': (t['nose_width'], t['nose_y'] - 0.05),
    'upper_lip': (0.0, t['mouth_y'] - t['lip_upper']),
    'lower_lip': (0.0, t['mouth_y'] + t['lip_lower']),
    'lip_corner': (t['mouth_width'], t['mouth_y']),
    'chin': (0.0, t['chin'] - 0.22),
  }


def _draw_head(canvas, t):
  skin, hair = t['skin'], t['hair']
  low = 1.6 if t['long_hair'] else 0.1
  canvas.both(
    _curve([(0, -1.62), (0.7, -1.5), (1.15, -0.9), (1.2, 0.0), (1.12, low),
            (0.6, low), (0, 0)]),
    hair, 0.03,
  )  # fmt: skip
  canvas.both([(0, 0.9), (0.56, 0.9), (0.62, 1.5), (1.3, 1.8), (1.3, 2.2),
               (0, 2.2)], skin * 0.68, 0.05)  # fmt: skip
  if not t['long_hair']:
    canvas.both(_ellipse(1.02, 0.08, 0.10, 0.26), skin * 0.86, 0.02)
    canvas.both(_ellipse(1.04, 0.08, 0.05, 0.17), skin * 0.66, 0.03, 0.6)
  half = [(t['chin_width'], t['chin'] - 0.03), (t['jaw'], 0.93), (0.95, 0.3),
          (1.0, -0.2), (0.95, -0.75), (0.62, -1.25)]  # fmt: skip
  outline = [(0, t['chin']), *half, (0, -1.4)]
  outline += [(-x, y) for x, y in reversed(half)]
  face = _curve(outline)
  canvas.paint(face, skin * 0.74, 0.012)
  # The lit middle of the face, twice: the cheeks turn away from the light.
  canvas.paint(face * (0.88, 0.94), skin * 0.92, 0.10, 0.9)
  canvas.paint(face * (0.62, 0.82), skin * 1.03, 0.20, 0.8)
  canvas.both(_ellipse(0.52, 0.30, 0.20, 0.16), skin * (0.99, 0.98, 1.12),
              0.12, 0.6)  # fmt: skip
  canvas.both(_ellipse(0.75, 0.62, 0.12, 0.3), skin * 0.7, 0.12, 0.45)
  canvas.paint(_ellipse(0, t['chin'] - 0.2, 0.18, 0.12), skin * 1.1, 0.08, 0.6)
  if t['beard']:
    jaw = [(0.25, 0.62), (0.75, 0.75), (0.6, 1.15), (0.25, 1.32), (0, 1.35),
           (0, 0.6)]  # fmt: skip
    canvas.both(_curve(jaw), skin * 0.5 + hair * 0.2, 0.08, t['beard'])
  # A fringe in front of the forehead, parted somewhere.
  line, parting = t['hairline'], t['parting']
  canvas.paint(
    _curve([(-1.1, -0.35), (-0.93, -0.62), (-0.62, line + 0.1),
            (parting, line - 0.12), (0.62, line + 0.1), (0.93, -0.62),
            (1.1, -0.35), (1.15, -1.2), (0.6, -1.6), (-0.6, -1.6),
            (-1.15, -1.2)]),
    hair, 0.02,
  )  # fmt: skip
  for x in np.linspace(-0.95, 0.95, 27):
    strand = [(parting * 0.5 + 0.3 * x, -1.6), (0.8 * x, -1.3),
              (x, line + 0.3 * x * x - 0.1)]  # fmt: skip
    shade = 1.5 if int(x * 97) % 2 else 0.75
    canvas.paint(_stroke(strand, 0.05), hair * shade + 4, 0.012, 0.5)


def _draw_eyes(canvas, t):
  skin, x, y = t['skin'], t['eye_x'], t['eye_y']
  wide, high, tilt = t['eye_width'], t['eye_height'], t['eye_tilt']
  inner, outer = (x - wide, y + 0.02), (x + wide, y - tilt)
  top = [(x - 0.45 * wide, y - 0.8 * high), (x + 0.25 * wide, y - high)]
  low = [(x + 0.4 * wide, y + 0.62 * high), (x - 0.35 * wide, y + 0.7 * high)]
  canvas.both(_ellipse(x, y - 0.03, 1.35 * wide, 0.16), skin * 0.72, 0.07, 0.6)
  canvas.both(_ellipse(x, y - 0.14, 0.8 * wide, 0.03), skin * 1.0, 0.03, 0.5)
  eye = _curve([inner, *top, outer, *low])
  canvas.both(eye, (206, 212, 218), 0.006)
  for side in (1, -1):
    # The lids hide what lies outside the opening of the eye.
    iris = _ellipse(side * x, y - 0.01, 0.098, 0.098)
    iris[:, 1] = np.clip(iris[:, 1], y - 0.9 * high, y + 0.72 * high)
    canvas.paint(iris, t['iris'] * 0.55, 0.006)
    iris = (iris - (side * x, y)) * 0.8 + (side * x, y)
    canvas.paint(iris, t['iris'] * 1.15, 0.01)
    canvas.paint(_ellipse(side * x, y - 0.01, 0.042, 0.042), (12, 12, 14),
                 0.006)  # fmt: skip
    canvas.paint(_ellipse(side * x + 0.03, y - 0.035, 0.014, 0.014),
                 (245, 245, 245), 0.004)  # fmt: skip
  lash = np.float32([22, 22, 26])
  canvas.both(_stroke([inner, *top, outer], 0.042), lash, 0.008, 0.9)
  canvas.both(_stroke([outer, *low, inner], 0.02), skin * 0.45, 0.008, 0.7)
  crease = [(px, py - 0.055) for px, py in [inner, *top, outer]]
  canvas.both(_stroke(crease, 0.02), skin * 0.55, 0.010, 0.7)
  bag = [(px, py + 0.10) for px, py in [outer, *low, inner]]
  canvas.both(_stroke(bag, 0.03), skin * 0.68, 0.02, 0.6)


def _draw_brows(canvas, t, rng):
  y = t['eye_y'] - t['brow_gap']
  thick = t['brow_thickness']
  middle = y - t['brow_arch']
  colour = t['hair'] * 0.75
  line = [(0.14, y + 0.03), (0.42, middle), (0.72, y + 0.03)]
  canvas.both(_stroke(line, thick), colour, 0.02, 0.7)
  centre = _curve(line, closed=False)
  for point in centre[1:-1]:
    for _ in range(3):
      root = point + rng.uniform(-0.4, 0.4, 2) * (0.05, thick)
      tip = root + (rng.uniform(0.02, 0.09), rng.uniform(-0.05, 0.02))
      canvas.both(_stroke([root, tip], 0.012), colour, 0.004, 0.7)


def _draw_nose(canvas, t):
  skin, y, wide = t['skin'], t['nose_y'], t['nose_width']
  canvas.both(_curve([(0.10, -0.25), (0.16, -0.1), (0.13, y - 0.2),
                      (wide + 0.02, y - 0.05), (0.10, y - 0.1), (0.07, 0)]),
              skin * 0.72, 0.03, 0.6)  # fmt: skip
  canvas.paint(_ellipse(0, 0.05, 0.045, 0.3), skin * 1.16, 0.035, 0.6)
  canvas.paint(_ellipse(0, y - 0.08, 0.09, 0.08), skin * 1.16, 0.04, 0.7)
  canvas.paint(_ellipse(0, y + 0.04, 0.8 * wide, 0.04), skin * 0.6, 0.03, 0.7)
  wing = [(wide - 0.05, y - 0.13), (wide + 0.025, y - 0.05), (wide - 0.03,
          y + 0.02)]  # fmt: skip
  canvas.both(_stroke(wing, 0.03), skin * 0.52, 0.012, 0.75)
  canvas.both(_ellipse(0.45 * wide, y + 0.01, 0.055, 0.024), skin * 0.25, 0.012)
  fold = [(wide + 0.03, y - 0.06), (wide + 0.13, y + 0.13),
          (t['mouth_width'] + 0.07, t['mouth_y'] - 0.08)]  # fmt: skip
  canvas.both(_stroke(fold, 0.05), skin * 0.70, 0.025, 0.55)


def _draw_mouth(canvas, t):
  skin, y, wide = t['skin'], t['mouth_y'], t['mouth_width']
  up, low = t['lip_upper'], t['lip_lower']
  red = skin * (0.62, 0.58, 0.80)
  lips = skin * (1 - t['lip_redness']) * 0.82 + red * t['lip_redness']
  canvas.paint(_ellipse(0, y - 0.2, 0.05, 0.09), skin * 0.82, 0.03, 0.6)
  canvas.paint(_ellipse(0, y + low + 0.07, 0.5 * wide, 0.03), skin * 0.62,
               0.035, 0.75)  # fmt: skip
  corner, left = (wide, y), (-wide, y)
  upper = [left, (-0.5 * wide, y - 0.75 * up), (-0.13, y - up),
           (0, y - 0.75 * up), (0.13, y - up), (0.5 * wide, y - 0.75 * up),
           corner, (0, y + 0.012)]  # fmt: skip
  lower = [left, (0, y + 0.005), corner, (0.5 * wide, y + 0.8 * low),
           (0, y + low), (-0.5 * wide, y + 0.8 * low)]  # fmt: skip
  canvas.paint(_curve(upper), lips * 0.86, 0.012)
  canvas.paint(_curve(lower), lips, 0.012)
  canvas.paint(_ellipse(0, y + 0.5 * low, 0.4 * wide, 0.25 * low), lips * 1.2,
               0.025, 0.7)  # fmt: skip
  line = [left, (-0.4 * wide, y + 0.004), (0, y + 0.014),
          (0.4 * wide, y + 0.004), corner]  # fmt: skip
  canvas.paint(_stroke(line, 0.032), skin * 0.22, 0.008, 0.9)
  canvas.both(_ellipse(wide + 0.01, y, 0.035, 0.03), skin * 0.5, 0.02, 0.7)


def _smooth_noise(rng, height, width, grain):
  """`[height, width]` float32 noise of unit size; `grain` in pixels."""
  small = (int(height / grain) + 3, int(width / grain) + 3)
  noise = rng.standard_normal(small, np.float32)
  noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
  return noise / noise.std()


def draw(rng: np.random.Generator, subject: int, height: int, width: int):
  """Draws the face of one simulated subject.

  Args:
    rng: Determines every trait; not to be used for anything else.
    subject: Index from 0, which spreads the skin tones.
    height: Of the frame, pixels.
    width: Of the frame, pixels.

  Returns:
    A `Face`.
  """
  traits = _traits(rng, subject)
  unit = min(0.415 * width, 0.338 * height)
  centre = (0.5 * (width - 1), 0.49 * height)
  margin = int(np.ceil(MARGIN * height))
  full_height, full_width = (OVERSAMPLING * (n + 2 * margin)
                             for n in (height, width))  # fmt: skip
  at = [OVERSAMPLING * (value + margin) for value in centre]
  canvas = _Canvas(full_height, full_width, at, OVERSAMPLING * unit,
                   traits['background'])  # fmt: skip
  _draw_head(canvas, traits)
  _draw_nose(canvas, traits)
  _draw_eyes(canvas, traits)
  _draw_brows(canvas, traits, rng)
  _draw_mouth(canvas, traits)
  for _ in range(traits['freckles']):
    x, y, size = rng.uniform((-0.8, -0.9, 0.006), (0.8, 1.2, 0.016))
    canvas.paint(_ellipse(x, y, size, size), traits['skin'] * 0.6, 0.006, 0.5)
  # Pores, blotches and folds: without texture a cheek could move unseen.
  grains = ((0.018, 0.030), (0.05, 0.028), (0.2, 0.02))
  texture = sum(
    share * _smooth_noise(rng, full_height, full_width, grain * canvas.unit)
    for grain, share in grains
  )
  rows = (np.arange(full_height, dtype=np.float32) - at[1]) / canvas.unit
  columns = (np.arange(full_width, dtype=np.float32) - at[0]) / canvas.unit
  slope = np.float32(traits['light_strength']) * np.float32(
    [np.sin(traits['light_angle']), np.cos(traits['light_angle'])]
  )
  light = 1 + slope[0] * rows[:, None] + slope[1] * columns + texture
  picture = cv2.GaussianBlur(canvas.pixels * light[..., None], (0, 0), 0.8)
  picture = np.clip(picture, 4, 250, out=picture)
  return Face(picture, height, width, margin, centre, unit, _landmarks(traits))
