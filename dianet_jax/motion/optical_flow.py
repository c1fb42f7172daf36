"""Optical flow: the displacement of each pixel from one frame to another.

TV-L1 (Zach, Pock and Bischof, "A Duality Based Approach for Realtime TV-L1
Optical Flow", DAGM 2007), in the formulation of Sanchez, Meinhardt-Llopis and
Facciolo ("TV-L1 Optical Flow Estimation", IPOL 2013). It minimises over flows u

    sum |grad u_x| + |grad u_y| + lambda |I1(x + u) - I0(x)|

from the coarsest scale to the finest. Each warp linearises the data term at the
flow u0 of the previous warp,

    rho(u) = I1(x + u0) + g . (u - u0) - I0(x),   g = grad I1 (x + u0),

and each inner iteration takes a step on the data term and one on the dual
variable p of the total variation:

    v = u + g clip(-rho(u) / |g|^2, -lambda theta, lambda theta)
    u = v + theta div p
    p = (p + tau / theta grad u) / (1 + tau / theta |grad u|)

with forward differences for grad u and backward differences for div p. The
number of iterations is fixed, so the flow of a pair does not depend on the
other pairs of the batch.
"""

from collections.abc import Callable, Mapping
from concurrent import futures
import functools
from typing import Any

import cv2
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Num
import numpy as np

from dianet_jax.core import errors
from dianet_jax.core.arrays import AnyArray
from dianet_jax.motion import resampling

_SMALLEST = 16  # Smallest side of the coarsest scale, as in OpenCV.
# Number of pixels that a CPU processes at once, so that they fit its caches.
_CPU_PIXELS = 2**17
# Smaller gradients are rounding errors, and the data term is ignored.
_NO_GRADIENT = 1e-7


def grey(
  frames: Num[AnyArray, '*batch height width 3'],
) -> Float32[Array, '*batch height width']:
  """Converts RGB to grey levels (ITU-R BT.601).

  Args:
    frames: uint8 or float, 0..255.

  Returns:
    Grey levels, 0..255.

  >>> grey(np.array([[[200, 0, 0]]])).round().tolist()
  [[60.0]]
  """
  weights = jnp.array([0.299, 0.587, 0.114], jnp.float32)
  return (jnp.asarray(frames, jnp.float32) * weights).sum(-1)


def _check(first, second):
  real = all(
    jnp.issubdtype(a.dtype, jnp.integer)
    or jnp.issubdtype(a.dtype, jnp.floating)
    for a in (first, second)
  )
  if first.ndim != 3 or first.shape != second.shape or not real:
    raise errors.UserError(
      f'Optical flow of {first.dtype} {first.shape} to {second.dtype}'
      f' {second.shape}: expected grey levels 0..255 [pair, height, width],'
      ' both of the same shape.'
    )
  if min(first.shape[1:]) < 2:
    raise errors.UserError(
      f'Optical flow of images of {first.shape[1]} x {first.shape[2]} pixels:'
      ' expected at least 2 x 2.'
    )


@functools.partial(
  jax.jit,
  static_argnames=(
    'scales',
    'scale_step',
    'warps',
    'inner',
    'outer',
    'median',
    'interpolation',
  ),
)
def tv_l1(
  first: Num[AnyArray, 'pair height width'],
  second: Num[AnyArray, 'pair height width'],
  *,
  scales: int = 3,
  scale_step: float = 0.8,
  warps: int = 3,
  inner: int = 30,
  outer: int = 1,
  median: int = 1,
  interpolation: str = 'linear',
  tau: float = 0.25,
  attachment: float = 0.15,
  theta: float = 0.3,
) -> Float32[Array, 'pair height width 2']:
  """Computes TV-L1 optical flow of pairs of frames.

  Parameters are those of OpenCV's `DualTVL1OpticalFlow`, whose defaults are 5
  scales, 5 warps, cubic interpolation, a median of 5 and, with early stopping,
  up to 10 outer iterations of 30. The defaults here are ours. They have smaller
  errors for synthetic motion of 0.2 to 2 pixels: more warps and iterations
  underestimate small motion, cubic interpolation increases the error, and the
  median filter has no effect. For larger motion, such as head rotation, use 5
  scales.

  Computed in float32, on a CPU in groups of pairs that fit its caches, on an
  accelerator all pairs at once. Works under jit.

  Args:
    first: uint8 or float, grey levels 0..255.
    second: the same shape.
    scales: number of scales of the pyramid, including the finest; scales
      smaller than 16 pixels are omitted.
    scale_step: size of a scale relative to the finer one, 0..1.
    warps: number of warps of the second frame per scale.
    inner: number of iterations after each median filter.
    outer: number of median filters per warp.
    median: window of the median filter in pixels, 1 (none), 3 or 5.
    interpolation: of the warped frame, 'linear' or 'cubic'.
    tau: step size of the dual variable.
    attachment: lambda, weight of the data term; lower is smoother.
    theta: coupling of both terms.

  Returns:
    Displacement in pixels, x (to the right) then y (down): first[y, x] matches
    second[y + flow_y, x + flow_x]. Exactly 0 for equal frames.

  Raises:
    UserError: a shape or dtype is wrong, or `median` or `interpolation` is
      invalid.

  Source: Zach et al. (2007); Sanchez et al. (2013).

  In the example, the texture moves by one pixel to the right.

  >>> y, x = np.mgrid[:48, :48]
  >>> first = 128 + 60 * np.sin(x / 3) * np.cos(y / 4)
  >>> second = 128 + 60 * np.sin((x - 1) / 3) * np.cos(y / 4)
  >>> flow = tv_l1(first[None], second[None])
  >>> flow.shape, float(abs(flow[0, 24, 24] - jnp.array([1, 0])).max()) < 0.05
  ((1, 48, 48, 2), True)
  """
  _check(first, second)
  if median not in (1, 3, 5) or interpolation not in resampling.WEIGHTS:
    raise errors.UserError(
      f'median={median}, interpolation={interpolation!r}: expected a window of'
      f' 1 (no filter), 3 or 5 pixels; and {" or ".join(resampling.WEIGHTS)}.'
    )
  num_pairs, height, width = first.shape
  if not num_pairs:
    return jnp.zeros((0, height, width, 2), jnp.float32)
  solve = functools.partial(
    _pair_flow,
    sizes=_pyramid(height, width, scales, scale_step),
    scale_step=scale_step,
    warps=warps,
    weights=resampling.WEIGHTS[interpolation],
    iterate=functools.partial(
      _iterate,
      inner=inner,
      outer=outer,
      median=median,
      tau=tau,
      attachment=attachment,
      theta=theta,
    ),
  )
  pairs = first.astype(jnp.float32), second.astype(jnp.float32)
  group = max(_CPU_PIXELS // (height * width), 1)
  return jax.lax.platform_dependent(
    *pairs,
    cpu=lambda *pairs: jax.lax.map(
      lambda pair: solve(*pair), pairs, batch_size=min(group, num_pairs)
    ),
    default=jax.vmap(solve),
  )


def _pyramid(height, width, scales, step) -> list[tuple[int, int]]:
  """Sizes from the finest to the coarsest."""
  sizes = [(height, width)]
  for _ in range(scales - 1):
    size = tuple(round(side * step) for side in sizes[-1])
    if min(size) < _SMALLEST:
      break
    sizes.append(size)
  return sizes


def _pair_flow(first, second, sizes, scale_step, warps, weights, iterate):
  """float32 [height, width, 2] of one pair."""
  pyramid: list[tuple[jax.Array, ...]] = [(first, second)]
  for size in sizes[1:]:
    finer = pyramid[-1]
    pyramid.append(
      tuple(resampling.resize(a, size, 1 / scale_step) for a in finer)
    )
  flow = jnp.zeros((2, *sizes[-1]), jnp.float32)
  for size, (start, end) in zip(sizes[::-1], pyramid[::-1]):
    if flow.shape[1:] != size:
      flow = resampling.resize(flow, size) / scale_step
    images = jnp.stack([end, *_central_gradient(end)])

    def warp_once(_, state, start=start, images=images):
      flow, dual = state
      (warped, *gradient), inside = resampling.warp(images, flow, weights)
      # No data term where the warped position is outside the image.
      gradient = [g * inside for g in gradient]
      flat = sum(g * u for g, u in zip(gradient, flow))
      flow, dual = iterate((*flow, *dual), warped - flat - start, gradient)
      return jnp.stack(flow), dual

    # The dual variable starts at 0 on each scale and continues between warps.
    state = flow, (jnp.zeros(size, jnp.float32),) * 4
    flow, _ = jax.lax.fori_loop(0, warps, warp_once, state)
  return jnp.moveaxis(flow, 0, -1)


def _iterate(
  state, constant, gradient, inner, outer, median, tau, attachment, theta
):
  """The iterations of one warp.

  Args:
    state: u_x, u_y, then the dual variables: p of u_x along x and along y, of
      u_y along x and along y.
    constant: rho at a flow of 0.
    gradient: along x and along y.
    inner: see `tv_l1`.
    outer: see `tv_l1`.
    median: see `tv_l1`.
    tau: see `tv_l1`.
    attachment: see `tv_l1`.
    theta: see `tv_l1`.

  Returns:
    u_x, u_y; and the dual variables.
  """
  gx, gy = gradient
  square = gx * gx + gy * gy
  moves = square > _NO_GRADIENT
  # Divided once per warp, not in each iteration.
  inverse = jnp.where(moves, -1 / jnp.where(moves, square, 1), 0)
  bound, step = attachment * theta, tau / theta

  def iteration(_, state):
    ux, uy, *dual = state
    k = jnp.clip((constant + gx * ux + gy * uy) * inverse, -bound, bound)
    flow = [
      u + k * g + theta * (_backward(px, 1) + _backward(py, 0))
      for u, g, px, py in ((ux, gx, *dual[:2]), (uy, gy, *dual[2:]))
    ]
    new = []
    for u, px, py in ((flow[0], *dual[:2]), (flow[1], *dual[2:])):
      dx, dy = _forward(u, 1), _forward(u, 0)
      scale = 1 / (1 + step * jnp.sqrt(dx * dx + dy * dy))
      new += [(px + step * dx) * scale, (py + step * dy) * scale]
    return (*flow, *new)

  def filtered(_, state):
    flow = (median_filter(u, median) for u in state[:2])
    return jax.lax.fori_loop(0, inner, iteration, (*flow, *state[2:]))

  state = jax.lax.fori_loop(0, outer, filtered, state)
  return state[:2], state[2:]


def _forward(a, axis):
  """Forward difference, 0 at the last value."""
  padding = [(0, int(i == axis)) for i in range(2)]
  return jnp.pad(jnp.diff(a, axis=axis), padding)


def _backward(a, axis):
  """Backward difference; the value before the first is 0."""
  padding = [(int(i == axis), 0) for i in range(2)]
  return jnp.diff(jnp.pad(a, padding), axis=axis)


def _central_gradient(image):
  """Gradient along x and along y, by central differences."""
  p = jnp.pad(image, 1, mode='edge')
  return (
    (p[1:-1, 2:] - p[1:-1, :-2]) / 2,
    (p[2:, 1:-1] - p[:-2, 1:-1]) / 2,
  )


def median_filter(
  image: Float[AnyArray, 'height width'], window: int
) -> Float[Array, 'height width']:
  """Median filter; border pixels are repeated.

  Uses only minima and maxima, which vectorise. Among `n // 2 + 2` of n values,
  neither the smallest nor the largest is the median of all n. So both are
  dropped and another value is added, until three are left.

  Args:
    image: float.
    window: odd, in pixels.

  Returns:
    The same shape.

  >>> spike = jnp.zeros((3, 3)).at[1, 1].set(9)
  >>> float(median_filter(spike, 3).max())
  0.0
  """
  image = jnp.asarray(image)
  if window == 1:
    return image
  height, width = image.shape
  padded = jnp.pad(image, window // 2, mode='edge')
  values = [
    padded[top : top + height, left : left + width]
    for top in range(window)
    for left in range(window)
  ]
  kept = [values.pop() for _ in range(window**2 // 2 + 2)]
  while len(kept) > 1:
    for i in range(1, len(kept)):
      kept[0], kept[i] = _sorted(kept[0], kept[i])
    for i in range(1, len(kept) - 1):
      kept[i], kept[-1] = _sorted(kept[i], kept[-1])
    kept = kept[1:-1] + ([values.pop()] if values else [])
  return kept[0]


def _sorted(a, b):
  return jnp.minimum(a, b), jnp.maximum(a, b)


def farneback(
  first: Num[np.ndarray, 'pair height width'],
  second: Num[np.ndarray, 'pair height width'],
) -> Float32[np.ndarray, 'pair height width 2']:
  """Computes Farneback's flow with OpenCV on the CPU.

  It is faster and smoother than `tv_l1`, and halves the peak of motion in a
  face. Suitable for a first inspection.

  Args:
    first: uint8 or float, grey levels 0..255.
    second: the same shape.

  Returns:
    See `tv_l1`.

  Raises:
    UserError: other shapes or dtypes.

  Source: Farneback, "Two-Frame Motion Estimation Based on Polynomial
  Expansion", SCIA 2003.

  >>> still = np.zeros((1, 32, 32), np.uint8)
  >>> farneback(still, still).shape
  (1, 32, 32, 2)
  """
  first, second = np.asarray(first), np.asarray(second)
  _check(first, second)

  def one(a, b):
    # OpenCV requires uint8.
    a, b = (np.clip(np.round(i), 0, 255).astype(np.uint8) for i in (a, b))
    # The type stubs of OpenCV do not allow None, which means no initial flow.
    none: Any = None
    return cv2.calcOpticalFlowFarneback(a, b, none, 0.5, 3, 15, 3, 5, 1.2, 0)

  with futures.ThreadPoolExecutor() as pool:
    flows = list(pool.map(one, first, second))
  return np.stack(flows) if flows else np.zeros((*first.shape, 2), np.float32)


METHODS: Mapping[str, Callable] = {'tv_l1': tv_l1, 'farneback': farneback}
