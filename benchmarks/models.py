"""docs/models.md, written from the registry and the kept leaderboards.

python -m benchmarks.models > docs/models.md
"""

import argparse
from collections.abc import Iterator, Mapping
import dataclasses
import json
import pathlib
from typing import Any

import flax.linen as nn
import jax

from configs import default
from dianet_jax.evaluation import tables
from dianet_jax.experiments import configuration, rules
from dianet_jax.models.registry import MODELS
from dianet_jax.motion import registry as motion

_RESULTS = pathlib.Path(__file__).parent / 'results'
_CLASSES = 3
_HEAD = """\
# Models

Written by `python -m benchmarks.models`. `--config=configs/casme2.py:NAME`
trains a model with what its authors recommend, and

    python main.py --config=configs/zoo.py:megc2019 --config.data.manual_dir=DIR

all that a data set can feed, by one recipe and by their own. What is stated in
a paper, measured in its code and ours stands in the docstring of each model,
and `benchmarks/parity.py` holds the networks against their authors' numbers.

Parameters: by default settings, three classes, images of the size given. *Ours*
is UF1 on the 278 clips of CASME II and SAMM of MEGC 2019 (52 folds, one seed),
leave-one-subject-out with a fixed number of epochs; small networks are marked
in the leaderboard below. A figure of another protocol, of other clips or of
more of them is no target.
"""


@dataclasses.dataclass(frozen=True)
class Published:
  """What is known of a system.

  Attributes:
    title: its name.
    arxiv: number of the paper.
    figure: what is published, as it is published.
    protocol: how that was found, and what is wrong with it.
    size: pixels of its images.
    rows: of the leaderboard that are about it begin so.
  """

  title: str
  arxiv: str
  figure: str
  protocol: str
  size: int
  rows: str


_OWN_TITLE = 'its own figures are of other data'
PUBLISHED: Mapping[str, Published] = {
  'dianet': Published(
    'DIANet', '2510.12219', 'see docs/paper.md', 'silent on the epoch', 112,
    'DIANet',
  ),
  'biovilt': Published(
    'BioViL-T, its fusion', '2301.04558', _OWN_TITLE, 'chest X-rays', 112,
    'BioViL-T',
  ),
  'gban': Published(
    'GBAN, its fusion', '2201.06309', 'WA .7239, UA .7008 (IEMOCAP)',
    'speech and text', 112, 'GBAN',
  ),
  'causal': Published(
    'CausalNet, its blocks', '2508.06640', 'see CausalNet', '', 112,
    'causal blocks',
  ),
  'ststnet': Published(
    'STSTNet', '1902.03634',
    'UF1 composite .7353, CASME II .8382, SAMM .6588; its PyTorch code .7209',
    'sound: fixed epochs, pooled; clips are not shuffled; SMIC besides', 28,
    'STSTNet',
  ),
  'offapexnet': Published(
    'Off-ApexNet', '1805.08699',
    'UF1 composite .7196, CASME II .8764, SAMM .5409',
    'unverified; .703 by sound evaluation (2211.11425)', 28, 'Off-ApexNet',
  ),
  'htnet': Published(
    'HTNet', '2307.14637', 'UF1 composite .8603, CASME II .9532, SAMM .8131',
    'epoch chosen on the test subject', 28, 'HTNet',
  ),
  'causalnet': Published(
    'CausalNet', '2508.06640',
    'UF1 composite .8976, CASME II .9811, SAMM .8780',
    'epoch chosen on the test subject; a subject that is always wrong is left'
    ' out; settings compared on test results', 28, 'CausalNet',
  ),
  'fmanet': Published(
    'FMANet (our reading)', '2510.07810',
    'accuracy CASME II .8730, SAMM .8456 (secondary)', 'not known; no code', 28,
    'FMANet',
  ),
  'skd_tstsan': Published(
    'SKD-TSTSAN', '2406.17538', 'tables could not be read',
    'epoch chosen on the test subject; class weights of all clips', 48,
    'SKD-TSTSAN, ',
  ),
  'skd_tstsan_t': Published(
    'SKD-TSTSAN, temporal stream', '2406.17538', 'none: a part, ours', '', 28,
    'SKD-TSTSAN temporal',
  ),
  'slstt': Published(
    'SLSTT', '2112.05851',
    'UF1 composite .815, CASME II .893, SAMM .712 (from its matrices)',
    'epoch chosen on the test subject; subjects without a saved model are left'
    ' out', 112, 'SLSTT',
  ),
  'tsfmicro': Published(
    'TSFmicro', '2505.16372', 'tables could not be read',
    'accuracy and F1 each of their best epoch on the test subject; UAR is mean'
    ' precision', 224, 'TSFmicro',
  ),
  'gamdss': Published(
    'GAMDSS', '2603.04766', 'tables could not be read', 'as TSFmicro', 224,
    'GAMDSS',
  ),
  'atm_gcn': Published(
    'ATM-GCN (our reading)', '2406.08997', 'not found', 'not known; no code',
    112, 'ATM-GCN',
  ),
  'slow_fast_tcm': Published(
    'Slow-Fast TCM', '2202.12116', 'top-1 52.2 % (Something-Something V1)',
    'other data', 112, 'Slow-Fast TCM',
  ),
}  # fmt: skip


def _shapes(out: Any) -> str:
  return ', '.join(
    ' x '.join(map(str, leaf.shape[1:])) or '1' for leaf in jax.tree.leaves(out)
  )


def layers(name: str) -> tuple[int, list[tuple[str, str, int]]]:
  """Parameters of a model, and its parts.

  Returns:
    The number of all, and for each part of the network, in the order in which
    they are called: its name, shape of its output without the clips, and
    number of parameters.
  """
  values = default.get_config(name).to_dict()
  values = configuration.changed(
    values,
    {
      'data.dataset': 'casme2',
      'data.image_size': PUBLISHED[name].size,
      'data.frame_size': 224,
    },
  )
  config = configuration.parse(values)
  specs = motion.specs(rules.feed(config), config.data)
  inputs = {
    key: jax.ShapeDtypeStruct((1, *spec.shape), spec.dtype)
    for key, spec in specs.items()
  }
  model = MODELS[name](_CLASSES, config.model)
  seen: dict[tuple[str, ...], str] = {}

  def record(function, args, kwargs, context):
    out = function(*args, **kwargs)
    if context.method_name == '__call__' and context.module.path:
      seen[context.module.path] = _shapes(out)
    return out

  def init(inputs):
    with nn.intercept_methods(record):
      return model.init(jax.random.key(0), inputs)

  params = jax.eval_shape(init, inputs)['params']
  prefix: tuple[str, ...] = ()
  while len(held := _at(params, prefix)) == 1:
    prefix += (next(iter(held)),)
  order = [path[-1] for path in seen if path[:-1] == prefix]
  parts = [
    (part, seen.get((*prefix, part), ''), _size(held[part]))
    for part in dict.fromkeys([*order, *held])
    if part in held
  ]
  return _size(params), parts


def _at(tree: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
  for part in path:
    tree = tree[part]
  return tree


def _size(tree: Any) -> int:
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def kept(folder: str = 'zoo-megc2019') -> list[dict[str, Any]]:
  """Rows of a kept leaderboard."""
  path = _RESULTS / folder / 'ablation.json'
  return json.loads(path.read_text(encoding='utf-8'))['rows']


def _ours(name: str, rows: list[dict[str, Any]]) -> str:
  """UF1 by both recipes."""
  found = []
  for row in rows:
    if not row['name'].startswith(PUBLISHED[name].rows):
      continue
    if name == 'dianet' and row['name'] != 'DIANet':
      continue
    what = (
      row['name'].removeprefix(PUBLISHED[name].rows).strip(' ,') or 'common'
    )
    if 'uf1' in row:
      found.append(f'{what}: {row["uf1"]:.3f}')
    elif 'left_out' in row:
      return 'cannot be fed'
  return '; '.join(found) or 'not trained yet'


def _leaderboard(folder: str) -> Iterator[str]:
  """The kept tables of all clips and of each data set, and what is missing."""
  text = (_RESULTS / folder / 'ablation.md').read_text(encoding='utf-8')
  begin = text.index('leaderboard, ')
  # What follows compares by class and clip, and is long.
  end = text.index('\n\nMeans over seeds')
  yield text[begin:end]
  absent = [row for row in kept(folder) if 'folder' not in row]
  if absent:
    yield '\nWithout a result:\n'
  for row in absent:
    key = next(k for k in ('left_out', 'failed', 'missing') if k in row)
    why = (
      row[key] if key == 'missing' else f'{key.replace("_", " ")}, {row[key]}'
    )
    yield f'- {tables.escape_markdown(row["name"] + ": " + why)}'


def markdown() -> str:
  """The page."""
  return '\n'.join(_lines())


def _lines() -> Iterator[str]:
  rows = kept()
  found = {name: layers(name) for name in MODELS if name in PUBLISHED}
  yield _HEAD
  yield (
    '| `model.name` | system | source | reads | pixels | parameters |'
    ' published | its protocol | ours |'
  )
  yield '|---|---|---|---|---:|---:|---|---|---|'
  for name, (size, _) in found.items():
    row = PUBLISHED[name]
    cells = [
      f'`{name}`', row.title, f'arXiv {row.arxiv}',
      ', '.join(f'`{read}`' for read in MODELS[name].reads), str(row.size),
      f'{size:,}', row.figure, row.protocol, _ours(name, rows),
    ]  # fmt: skip
    yield f'| {" | ".join(cells)} |'
  yield '\n## Leaderboard, the 278 real clips\n'
  yield from _leaderboard('zoo-megc2019')
  yield '\n## Trained on one data set, tested on another\n'
  yield (
    'The same clips, `--config.evaluation.protocol=cross_dataset`: *casme2* is'
    ' tested after training on SAMM, *samm* after training on CASME II. The'
    ' intervals resample the tested subjects.\n'
  )
  yield from _leaderboard('zoo-megc2019-cross')
  yield '\n## Layers\n'
  yield 'Shapes are without the clips; parts in the order of their calls.'
  for name, (_, parts) in found.items():
    yield f'\n### `{name}`\n'
    yield '| part | output | parameters |'
    yield '|---|---|---:|'
    for part, shape, size in parts:
      yield f'| `{part}` | {shape} | {size:,} |'
  yield ''


def main() -> None:
  """Prints the page."""
  argparse.ArgumentParser(
    prog='python -m benchmarks.models', description=__doc__
  ).parse_args()
  print(markdown(), end='')


if __name__ == '__main__':
  main()
