"""A training step in PyTorch on an accelerator, in the forms a user would try.

The network is that of `loso_torch`; images are on the device, nothing is
augmented, AdamW is the fused one.
"""

from collections.abc import Iterator
import contextlib
import itertools
import time

import torch
from torch.nn import functional

from benchmarks.peers import loso_torch


def rows(
  backbone: str, pool: str, pixels: int, clips: int, device: str = 'cuda'
) -> Iterator[tuple[str, dict[str, float | str]]]:
  """Milliseconds a step of every form, the fastest of some repeats.

  Args:
    backbone: resnet18 or compact.
    pool: mean or flatten.
    pixels: a side.
    clips: in a step.
    device: of PyTorch.
  """
  images = torch.randn(clips, 2, 3, pixels, pixels, device=device)
  labels = torch.randint(0, 3, (clips,), device=device)
  for compiled, half in itertools.product((False, True), (False, True)):
    name = ('torch.compile' if compiled else 'eager') + (
      ', bfloat16' if half else ', float32'
    )
    try:
      net = loso_torch.Dual(backbone, pool, pixels, 3).to(device)
      net = net.to(memory_format=torch.channels_last)
      seconds = _step_seconds(net, images, labels, compiled, half)
    except Exception as error:  # Of compilers and drivers, of every kind.
      yield f'PyTorch, {name}', {'failed': str(error).splitlines()[0][:200]}
      continue
    yield f'PyTorch, {name}', {'ms a step and fold': round(1000 * seconds, 3)}


def _step_seconds(net, images, labels, compiled: bool, half: bool) -> float:
  optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
  called = torch.compile(net) if compiled else net
  kind = images.device.type
  context = (
    torch.autocast(kind, torch.bfloat16) if half else contextlib.nullcontext()
  )

  def step():
    optimiser.zero_grad()
    with context:
      logits = called(images)
    functional.cross_entropy(logits.float(), labels).backward()
    optimiser.step()

  def wait():
    if kind == 'cuda':
      torch.cuda.synchronize()

  for _ in range(3):
    step()
  times = []
  for _ in range(5):
    wait()
    start = time.perf_counter()
    for _ in range(10):
      step()
    wait()
    times.append((time.perf_counter() - start) / 10)
  return min(times)
