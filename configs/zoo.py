r"""Every model that a data set can feed, in one leaderboard.

python main.py --config=configs/zoo.py
python main.py --config=configs/zoo.py:megc2019 --config.data.manual_dir=DIR

What follows the colon names a data set's file in configs/; the demo's simulated
clips if nothing does. Most models have two rows: by one recipe for all (the
data set's own: epochs, optimiser, augmentation, seeds), and, with one seed, by
their `recommended` training ('own recipe'), which is that of the authors as far
as it is known. Those of Off-ApexNet, FMANet and COTS are ours, because their
authors' are unknown or for other data; so are those of Slow-Fast TCM and
ATM-GCN, which at these widths hardly learn in the recommended epochs. Small
networks say so in their names; those with DIANet's streams have the backbone of
the data set's file.
docs/models.md shows the kept leaderboards.

Rows and settings were laid down before any of them was scored on real clips:
what is finished is shown, whatever comes out, and nothing is chosen by it.

With --config.evaluation.protocol=cross_dataset the rows are trained on one part
of a composite and tested on another.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

import configs
from configs import ablation
from dianet_jax.models import dianet
from dianet_jax.models.registry import MODELS
from dianet_jax.models.zoo import causalnet, cots, flow_images

_CAUSALNET = {
  'width': 32,
  'repeats': (1, 1, 2),
  'depth': 2,
  'head_width': 256,
}
# Name of the row, model, and what differs from the published network: a few
# hundred clips at most, and processors without an accelerator. In the order of
# what they cost.
_FLOW = (
  ('STSTNet', 'ststnet', {}),
  ('Off-ApexNet', 'offapexnet', {}),
  ('HTNet small', 'htnet', {'width': 24, 'repeats': (1, 1, 2)}),
  (
    # Blocks of four tokens, where attention has something to do.
    'HTNet small, two levels',
    'htnet',
    {'width': 24, 'repeats': (1, 2)},
  ),
  ('CausalNet small', 'causalnet', _CAUSALNET),
)
_STREAMS = (
  ('GBAN', 'gban', {}),
  ('BioViL-T', 'biovilt', {}),
  ('causal blocks', 'causal', {}),
  ('COTS pretraining', 'cots', {}),
)
_LARGE = (
  ('FMANet (our reading)', 'fmanet', {}),
  ('SKD-TSTSAN temporal, quarter width', 'skd_tstsan_t', {'width': 0.25}),
)
_SLSTT = {
  'width': 96,
  'depth': 2,
  'mlp_width': 192,
  'lstm_width': 64,
  'lstm_depth': 1,
  'head_width': 64,
  'enlarge': 112,
}
_RETENTION = {'widths': (8, 16, 32, 64), 'projection': 64}
_FRAMES = (
  ('SKD-TSTSAN, quarter width', 'skd_tstsan', {'width': 0.25}),
  ('SLSTT small', 'slstt', _SLSTT),
  ('TSFmicro small', 'tsfmicro', _RETENTION),
  ('GAMDSS small', 'gamdss', _RETENTION),
  (
    'Slow-Fast TCM small',
    'slow_fast_tcm',
    # On small images, motion is a fraction of a position of later maps.
    {'widths': (16, 32), 'patch': 7, 'tcm_after': 0, 'dropout': 0.0},
  ),
  (
    'ATM-GCN small (our reading)',
    'atm_gcn',
    {'encoder_width': 0.125, 'width': 64, 'key_width': 16, 'dropout': 0.0},
  ),
)
# Ours, on stored flow of both phases: CausalNet without its authors' position
# images, and networks that read something else.
_PAIRS = (
  (
    'CausalNet small, derived positions (ours)',
    'causalnet',
    _CAUSALNET | {'input_scale': 1},
  ),
  ('SLSTT small, flow pair (ours)', 'slstt', _SLSTT | {'normalise': 'none'}),
  (
    'TSFmicro small, flow (ours)',
    'tsfmicro',
    # Enlarged to 112 pixels, a seed would take 47 hours of a core.
    _RETENTION | {'position': False, 'stem_stride': 1},
  ),
)
# Where no recipe of the authors fits such narrow networks: what learns on
# simulated clips of another seed than the demo's.
_SMALL_RECIPES = {
  'slow_fast_tcm': {'train.epochs': 150, 'train.learning_rate': 3e-3},
  'atm_gcn': {'train.epochs': 90, 'train.learning_rate': 2e-3},
}
# Recommended settings that belong to the training.
_SEARCH = ('data.key_frame_search', 'data.train_on_annotated')
_TRAINING = ('train.', 'objective.', *_SEARCH)
# Networks of colours or of blocks of the face, which neither turn nor move.
_AUGMENTED = {
  'slstt': {'train.augment.flip_probability': 0.0},
  'skd_tstsan': {'train.augment.shift_pixels': 0},
}


def get_config(base: str = 'demo') -> ml_collections.ConfigDict:
  """The rows, on the data set and with the settings of `base`."""
  config = configs.named(base)
  variants = ablation.get_config(base).study.rows[1:]
  config.name = f'zoo-{base}'
  config.study.kind = 'ablation'
  cheap, dear = [*_FLOW, *_STREAMS], [*_LARGE, *_FRAMES]
  config.study.rows = (
    'DIANet:',
    *(_common(config, *model) for model in cheap),
    *_own(config, 'STSTNet', 'ststnet', {}),
    # Published code reads one class after the other.
    *_own(config, 'STSTNet, clips by class', 'ststnet', {}, order='by_class'),
    *(_common(config, *model) for model in dear),
    *(_of_pair(*model) for model in _PAIRS if config.data.inputs),
    "MM-COF, a stream of DIANet: data.inputs=('mm_cof',) model.fusion=concat",
    *(f'DIANet, {row}' for row in variants),
    *(
      row
      for model in [*cheap, *dear]
      if model[0] != 'STSTNet'
      for row in _own(config, *model)
    ),
  )
  return config


def _common(
  config: ml_collections.ConfigDict,
  name: str,
  model: str,
  settings: Mapping[str, Any],
) -> str:
  """A row with the training of the data set's configuration."""
  values = _reading(config, model) | _sizes(config, model, settings)
  if issubclass(MODELS[model].Settings, flow_images.Settings):
    # Images come scaled for a learning rate like this one.
    values['model.input_scale'] = 1
    del values['data.scaling']
  if model == 'cots':
    # As many epochs of pretraining besides.
    values |= {
      'objective.name': 'cross_phase',
      'objective.pretraining': 0.5,
      'train.epochs': 2 * config.train.epochs,
    }
  return _row(name, model, values | _AUGMENTED.get(model, {}))


def _of_pair(name: str, model: str, settings: Mapping[str, Any]) -> str:
  """A row that reads nothing but the data set's flow."""
  return _row(name, model, {f'model.{k}': v for k, v in settings.items()})


def _own(
  config: ml_collections.ConfigDict,
  name: str,
  model: str,
  settings: Mapping[str, Any],
  **train: Any,
) -> Iterator[str]:
  """A row with the training that the model's authors recommend, if they do."""
  training = {
    key: value
    for key, value in MODELS[model].recommended.items()
    if key.startswith(_TRAINING)
  }
  if not training:
    return
  training |= _SMALL_RECIPES.get(model, {})
  if config.data.inputs:
    # Stored flow: no frames to search, and components that cannot rotate.
    if model == 'cots':
      training |= cots.ON_FLOW
    for key in (*_SEARCH, 'train.augment.rotation_degrees'):
      training.pop(key, None)
  if shift := training.get('train.augment.shift_pixels'):
    size = MODELS[model].recommended.get('data.image_size', 0)
    if size > config.data.image_size:
      share = config.data.image_size / size
      training['train.augment.shift_pixels'] = round(shift * share)
  values = _reading(config, model) | training | _sizes(config, model, settings)
  values |= {f'train.{key}': value for key, value in train.items()}
  # It has many more epochs.
  values['seeds'] = 1
  yield _row(f'{name}, own recipe', model, values)


def _row(name: str, model: str, values: Mapping[str, Any]) -> str:
  settings = {'model.name': model} | dict(values)
  texts = (f'{k}={v!r}'.replace(', ', ',') for k, v in settings.items())
  return f'{name}: {" ".join(texts)}'


def _reading(config: ml_collections.ConfigDict, model: str) -> dict[str, Any]:
  """What a model needs of and for a data set, at the size of its images."""
  found = {
    key: value
    for key, value in MODELS[model].recommended.items()
    if key.startswith(('data.', 'model.')) and key not in _SEARCH
  }
  found.pop('data.image_size', None)
  if model == 'fmanet':
    del found['model.stem']
    if config.data.inputs:
      # It recommends flow in pixels; stored images have no unit.
      del found['model.flow'], found['data.scaling']
  if config.data.inputs:
    found = {k: v for k, v in found.items() if not k.startswith('data.flow.')}
    if model == 'causalnet':
      found |= causalnet.STORED
  if model == 'cots' and config.data.dataset == 'samm':
    found |= cots.ON_SAMM
  if MODELS[model].reads not in (('dynamic_images',), ('phase_flow',)):
    found['data.inputs'] = ()
  return found


def _sizes(
  config: ml_collections.ConfigDict, model: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
  """The sizes of the network and of its images."""
  found = {f'model.{key}': value for key, value in settings.items()}
  if issubclass(MODELS[model].Settings, dianet.DIANetSettings):
    # The streams of the data set's DIANet.
    found |= {f'model.{k}': config.model[k] for k in ('backbone', 'pool')}
  elif MODELS[model].reads == ('phase_flow',):
    found['data.image_size'] = flow_images.SIZE
  return found
