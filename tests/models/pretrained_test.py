"""Networks that start from a file of weights, and files that are refused."""

import dataclasses

import jax
import numpy as np
import pytest
from safetensors import numpy as safetensors

from dianet_jax.core import errors
from dianet_jax.inference import folder
from dianet_jax.models import pretrained
from dianet_jax.models.backbones.resnet import ResNet18
from dianet_jax.models.dianet import DIANet, DIANetSettings
from dianet_jax.models.registry import MODELS
from tests.models.zoo import small
from tests.support import small_bundles, torch_like
from tests.support.slow import slow_but

WIDTHS = (4, 4, 8, 8)
INPUTS = {'dynamic_images': jax.ShapeDtypeStruct((2, 40, 40, 3), 'float32')}


def dianet(classes=5, **settings):
  settings = {'widths': WIDTHS, 'heads': 2} | settings
  return DIANet(classes, DIANetSettings(**settings))


@pytest.fixture
def entries():
  return torch_like.resnet18(WIDTHS)


@pytest.fixture
def write(tmp_path):
  def to_file(tensors):
    path = tmp_path / 'weights.safetensors'
    safetensors.save_file(tensors, path)
    return path

  return to_file


def test_torchvisions_weights_fill_every_backbone(
  tmp_path, monkeypatch, entries
):
  path = torch_like.write(tmp_path / 'resnet18.pth', entries, monkeypatch)
  start = pretrained.load(path, dianet(), INPUTS)
  assert start.file == 'resnet18.pth' and len(start.sha256) == 64
  for view in ('backbone_0', 'backbone_1'):
    params = start.variables['params'][view]
    np.testing.assert_array_equal(
      params['BasicBlock_4']['Conv_2']['kernel'],
      entries['layer3.0.downsample.0.weight'].transpose(2, 3, 1, 0),
    )
    np.testing.assert_array_equal(
      start.variables['batch_stats'][view]['BasicBlock_7']['BatchNorm_1'][
        'var'
      ],
      entries['layer4.1.bn2.running_var'],
    )
  # Every entry is used once in each backbone, or named as of no use.
  assert start.used.keys() | {*start.unused} == entries.keys()
  assert {len(here) for here in start.used.values()} == {2}
  counters = [n for n in entries if n.endswith('num_batches_tracked')]
  assert {*start.unused} == {*counters, 'fc.weight', 'fc.bias'}
  modules = {name.split('.')[1] for name in start.new}
  assert modules == {'fusion', 'classifier'}


def test_one_shared_backbone(write, entries):
  model = dianet(share_backbone=True)
  start = pretrained.load(write(entries), model, INPUTS)
  assert start.variables['params'].keys() == {'backbone'}
  assert start.used['bn1.weight'] == ('params.backbone.BatchNorm_0.scale',)


def renamed(entries, name, other):
  return {other if key == name else key: a for key, a in entries.items()}


@pytest.mark.parametrize(
  'change,reason',
  [
    (
      lambda e: e | {'conv1.weight': np.zeros((4, 1, 7, 7), np.float32)},
      r"'conv1.weight' has the shape \(7, 7, 1, 4\).*\(7, 7, 3, 4\)",
    ),
    (
      lambda e: renamed(e, 'layer2.0.conv1.weight', 'layer2.0.conv3.weight'),
      "'layer2.0.conv3.weight' is not in the model",
    ),
    (
      lambda e: {n: a for n, a in e.items() if n != 'layer1.1.bn2.running_var'},
      "missing.*'batch_stats.backbone_0.BasicBlock_1.BatchNorm_1.var'",
    ),
    (
      lambda e: e | {'bn1.bias': np.full(4, np.nan, np.float32)},
      "'params.backbone_0.BatchNorm_0.bias' holds NaN",
    ),
    (lambda e: {'fc.bias': e['fc.bias']}, 'are missing'),
  ],
)
def test_what_does_not_fit_is_named(write, entries, change, reason):
  path = write(change(entries))
  with pytest.raises(errors.UserError, match=f'weights.safetensors.*{reason}'):
    pretrained.load(path, dianet(), INPUTS)


def test_files_that_cannot_be_used(tmp_path, write, entries):
  with pytest.raises(errors.UserError, match=r'nowhere\.pth cannot be read'):
    pretrained.load(tmp_path / 'nowhere.pth', dianet(), INPUTS)
  compact = dianet(backbone='compact', widths=(8,))
  with pytest.raises(errors.UserError, match='not known. Expected weights.saf'):
    pretrained.load(write(entries), compact, INPUTS)


def own_bundle(members, classes=small_bundles.CLASSES):
  bundle = small_bundles.make(members=members, classes=classes)
  return bundle, folder._flat(bundle.members)


@pytest.mark.parametrize('classes', [3, 5])
def test_exported_weights_are_restored(write, classes):
  bundle, flat = own_bundle(1)
  model = dataclasses.replace(bundle.network, num_classes=classes)
  start = pretrained.load(write(flat), model, bundle.specs)
  heads = {'0/params/classifier/bias', '0/params/classifier/kernel'}
  assert {*start.unused} == heads
  assert start.used.keys() == flat.keys() - heads
  [member] = bundle.members
  for collection, tree in start.variables.items():
    expected = dict(member[collection])
    if collection == 'params':
      del expected['classifier']
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


def test_weights_of_exactly_one_fitting_network_are_needed(write):
  bundle, flat = own_bundle(2)
  with pytest.raises(errors.UserError, match='holds 2 networks.*--final'):
    pretrained.load(write(flat), bundle.network, bundle.specs)
  bundle, flat = own_bundle(1)
  other = dianet(backbone='compact', widths=(16,))
  with pytest.raises(errors.UserError, match=r"'0/\w+/backbone_0.* shape"):
    pretrained.load(write(flat), other, bundle.specs)


@pytest.mark.parametrize('name', slow_but(MODELS, ('ststnet',)))
def test_every_model_starts_from_its_own_weights(write, name):
  model, specs = small.make(name)
  shapes = pretrained._shapes(model, specs)
  flat = {
    '0/' + here.replace('.', '/'): np.zeros(spec.shape, spec.dtype)
    for here, spec in shapes.items()
  }
  start = pretrained.load(write(flat), model, specs)
  assert start.unused and len(start.new) == len(start.unused)
  assert len(start.used) + len(start.new) == len(shapes)


def test_a_published_system_starts_from_its_authors_file(write):
  model, specs = small.make('ststnet')
  # Its authors' names, and their order of axes.
  theirs = {'kernel': 'weight', 'scale': 'weight', 'mean': 'running_mean'}
  theirs |= {'var': 'running_var', 'bias': 'bias'}
  entries, rng = {}, np.random.default_rng(0)
  for here, spec in pretrained._shapes(model, specs).items():
    *_, module, leaf = here.split('.')
    module = module.replace('convolution_', 'conv').replace('norm_', 'bn')
    name = f'{module.replace("classifier", "fc")}.{theirs[leaf]}'
    shape = spec.shape
    if leaf == 'kernel':
      shape = (*shape[:-3:-1], *shape[:-2])
    entries[name] = rng.normal(size=shape).astype(np.float32)
  start = pretrained.load(write(entries), model, specs)
  assert {*start.unused} == {'fc.weight', 'fc.bias'}
  assert start.used.keys() == entries.keys() - {*start.unused}
  kernel = start.variables['params']['network']['convolution_1']['kernel']
  np.testing.assert_array_equal(
    kernel, entries['conv1.weight'].transpose(2, 3, 1, 0)
  )


def reference(entries, images):
  """The features of torchvision's network, by PyTorch's functions."""
  torch = pytest.importorskip('torch')
  functional = torch.nn.functional
  weights = {name: torch.from_numpy(a) for name, a in entries.items()}

  def conv(x, name, stride, norm):
    kernel = weights[f'{name}.weight']
    x = functional.conv2d(x, kernel, None, stride, kernel.shape[-1] // 2)
    statistics = [weights[f'{norm}.running_{s}'] for s in ('mean', 'var')]
    scale = [weights[f'{norm}.{s}'] for s in ('weight', 'bias')]
    return functional.batch_norm(x, *statistics, *scale)

  x = torch.from_numpy(images.transpose(0, 3, 1, 2))
  x = conv(x, 'conv1', 2, 'bn1').relu()
  x = functional.max_pool2d(x, 3, 2, 1)
  for stage in range(1, 5):
    for block in range(2):
      name, stride = f'layer{stage}.{block}', 2 if stage > 1 > block else 1
      y = conv(x, f'{name}.conv1', stride, f'{name}.bn1').relu()
      y = conv(y, f'{name}.conv2', 1, f'{name}.bn2')
      if f'{name}.downsample.0.weight' in weights:
        x = conv(x, f'{name}.downsample.0', stride, f'{name}.downsample.1')
      x = (x + y).relu()
  return x.numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize(
  'widths', [WIDTHS, pytest.param((64, 128, 256, 512), marks=pytest.mark.slow)]
)
def test_features_are_pytorchs(write, widths):
  entries = torch_like.resnet18(widths)
  images = np.random.default_rng(1).normal(size=(2, 65, 64, 3))
  images = images.astype(np.float32)
  expected = reference(entries, images)
  model = dianet(widths=widths)
  start = pretrained.load(write(entries), model, INPUTS)
  variables = {n: start.variables[n]['backbone_1'] for n in start.variables}
  network = ResNet18(widths)
  found = jax.jit(lambda v, x: network.apply(v, x, None, False))(
    variables, images
  )
  scale = np.abs(expected).max()
  np.testing.assert_allclose(found, expected, atol=1e-4 * min(scale, 1))


SLSTT = {'depth': 2, 'mlp_width': 20, 'lstm_depth': 2, 'head_width': 6}


def test_a_vit_fills_the_encoder_and_the_norm_of_slstt(write):
  entries = torch_like.slstt(complete=False)
  model, specs = small.make('slstt', **SLSTT)
  start = pretrained.load(write(entries), model, specs)
  assert start.variables['params'].keys() == {'encoder', 'norm'}
  assert {*start.unused} == {'fc.weight', 'fc.bias'}
  assert start.used.keys() == entries.keys() - {*start.unused}
  new = {name.split('.')[1] for name in start.new}
  assert new == {'lstm_0', 'lstm_1', 'hidden', 'classifier'}
  encoder = start.variables['params']['encoder']
  for ours, theirs in (
    (encoder['class_token'], entries['class_token'][0, 0]),
    (encoder['position'], entries['positional_embedding.pos_embedding'][0]),
    (
      encoder['patches']['kernel'],
      entries['patch_embedding.weight'].transpose(2, 3, 1, 0),
    ),
    (
      encoder['block_1']['attention']['key']['kernel'],
      entries['transformer.blocks.1.attn.proj_k.weight'].T,
    ),
    (
      encoder['block_0']['attention']['out']['bias'],
      entries['transformer.blocks.0.proj.bias'],
    ),
    (
      encoder['block_1']['mlp']['expand']['kernel'],
      entries['transformer.blocks.1.pwff.fc1.weight'].T,
    ),
    (start.variables['params']['norm']['scale'], entries['norm.weight']),
  ):
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize('aggregator', ['lstm', 'mean'])
def test_a_complete_file_of_slstt_fills_either_aggregator(write, aggregator):
  entries = torch_like.slstt(complete=True)
  model, specs = small.make('slstt', aggregator=aggregator, **SLSTT)
  start = pretrained.load(write(entries), model, specs)
  mean = {'norm', 'encoder'}
  lstm = mean | {'lstm_0', 'lstm_1', 'hidden'}
  expected, head, other = {
    'lstm': (lstm, 'fc2', ('vit.fc',)),
    'mean': (mean, 'vit.fc', ('lstm', 'fc1', 'fc2')),
  }[aggregator]
  assert start.variables['params'].keys() == expected
  assert {*start.unused} == {
    name for name in entries if name.startswith((head, *other))
  }


@pytest.mark.parametrize('complete', [False, True])
def test_what_a_file_of_slstt_needs_is_named(write, complete):
  path = write(torch_like.slstt(complete))
  needed = 'width=12 model.patch=8 model.depth=2 model.mlp_width=20'
  if complete:
    needed += ' model.lstm_depth=2 model.lstm_width=8 model.head_width=6'
  message = f'{needed}, and images of 16 pixels.*image_size=16 or.*enlarge=16'
  for change in ({'depth': 1}, {'mlp_width': 8}, {'patch': 4}, {'width': 24}):
    model, specs = small.make('slstt', **SLSTT | change)
    with pytest.raises(errors.UserError, match=message):
      pretrained.load(path, model, specs)
  model, _ = small.make('slstt', **SLSTT)
  larger = {'long_term_flow': jax.ShapeDtypeStruct((3, 24, 24, 3), 'float32')}
  with pytest.raises(errors.UserError, match=f'pos_embedding.*{message}'):
    pretrained.load(path, model, larger)
  enlarged, _ = small.make('slstt', **SLSTT | {'enlarge': 16})
  pretrained.load(path, enlarged, larger)


def test_the_published_vit_needs_its_sizes():
  model, _ = small.make('slstt')
  entries = {
    'class_token': (1, 1, 768),
    'positional_embedding.pos_embedding': (1, 577, 768),
    'patch_embedding.weight': (768, 3, 16, 16),
  }
  for block in range(12):
    entries[f'transformer.blocks.{block}.pwff.fc1.weight'] = 3072, 768
  entries = {n: np.broadcast_to(0.0, shape) for n, shape in entries.items()}
  assert model.settings_for(entries) == (
    'This file needs model.width=768 model.patch=16 model.heads=12'
    ' model.depth=12 model.mlp_width=3072, and images of 384 pixels: set'
    ' data.image_size=384 or model.enlarge=384.'
  )
