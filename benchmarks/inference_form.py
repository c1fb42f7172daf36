"""How much faster one clip is in the inference form than as in training.

    python -m benchmarks.inference_form

Untrained networks over dynamic images, one clip, calls of both forms by turns.
Printed are the fastest call of each, and the median of the paired ratios with
its 10 and 90 % quantiles: above 1 the inference form is faster.
"""

import argparse
from collections.abc import Callable, Sequence
import dataclasses
import time

import jax
import numpy as np
import rich.box
import rich.console
import rich.table

from benchmarks import predict
from dianet_jax.core import config
from dianet_jax.inference import bundle as bundle_lib
from dianet_jax.models.dianet import DIANetSettings

# Name of the row, backbone, pixels, networks, pairs of calls.
NETWORKS = (
  ('ResNet-18, 112 px', 'resnet18', 112, 1, 30),
  ('ResNet-18, 64 px', 'resnet18', 64, 1, 30),
  ('compact, 28 px', 'compact', 28, 1, 100),
  ('compact, 64 px, five', 'compact', 64, 5, 50),
)


def untrained(backbone: str, pixels: int, members: int) -> bundle_lib.Bundle:
  """A bundle of networks as they are initialised, without a card."""
  blank = bundle_lib.Bundle(
    name='untrained',
    classes=('negative', 'positive', 'surprise'),
    data=config.Data(dataset='casme2', image_size=pixels),
    model=DIANetSettings(backbone=backbone),
    members=(),
    calibration={'temperature': 1.0},
    facts={},
  )
  inputs = {
    name: np.zeros((1, *spec.shape), spec.dtype)
    for name, spec in blank.specs.items()
  }
  init = jax.jit(blank.network.init)
  drawn = [init(jax.random.key(seed), inputs) for seed in range(members)]
  return dataclasses.replace(blank, members=tuple(drawn))


def by_turns(
  functions: Sequence[Callable[[], None]], pairs: int
) -> list[list[float]]:
  """Seconds of each call of each function; the first is not counted."""
  found = [[] for _ in functions]
  for number in range(pairs + 1):
    for function, seconds in zip(functions, found):
      start = time.perf_counter()
      function()
      if number:
        seconds.append(time.perf_counter() - start)
  return found


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.parse_args()
  table = rich.table.Table(
    'network', 'pairs', 'inference ms', 'training ms', 'times as fast',
    box=rich.box.SIMPLE_HEAD,
  )  # fmt: skip
  for name, backbone, pixels, members, pairs in NETWORKS:
    bundle = untrained(backbone, pixels, members)
    forms = predict.inference_form(bundle), predict.training_form(bundle)
    inference, training = map(np.asarray, by_turns(forms, pairs))
    low, median, high = np.quantile(training / inference, (0.1, 0.5, 0.9))
    table.add_row(
      name,
      str(pairs),
      f'{1000 * inference.min():.2f}',
      f'{1000 * training.min():.2f}',
      f'{median:.2f} ({low:.2f} to {high:.2f})',
    )
  rich.console.Console().print(table)


if __name__ == '__main__':
  main()
