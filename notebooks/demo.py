# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/dianet-jax/blob/main/notebooks/demo.ipynb)
#
# # Micro-expressions from dynamic images
#
# Two minutes on a CPU: a training on simulated clips, its result, and a
# prediction on a video of a real face, made here. In a clone of the repository
# it needs `pip install -e '.[video,align]' scikit-image jupyter`.

# %%
import importlib.metadata
import os
import pathlib
import sys
import tempfile

if 'google.colab' in sys.modules:
  # Of whoever publishes this repository.
  repository = 'https://github.com/OWNER/dianet-jax'
  # Colab's own jax knows its accelerator: no other may replace it.
  jax_there = 'jax==' + importlib.metadata.version('jax')
  # !git clone -q --depth=1 {repository} dianet-jax
  os.chdir('dianet-jax')
  # %pip install -q {jax_there} '.[video,align]' scikit-image
elif not pathlib.Path('main.py').exists():
  os.chdir('..')

# The `python` of the commands below is this one.
folders = [os.path.dirname(sys.executable), os.environ['PATH']]
os.environ['PATH'] = os.pathsep.join(folders)
work = pathlib.Path(tempfile.mkdtemp())

# %% [markdown]
# ## A training
#
# It simulates raw data in CASME II's own layout, six drawn faces in motion,
# and trains a network for each subject without the clips of that subject. The
# numbers show that the program works; they show nothing about real faces.

# %%
# !python main.py --config=configs/demo.py --workdir={work}/demo 2>&1 | cat

# %% [markdown]
# ## Its result
#
# All predictions are of clips whose subject the network has never seen.

# %%
import json

from matplotlib import pyplot as plt

metrics = json.loads((work / 'demo' / 'metrics.json').read_text())
overall = metrics['overall']
print(f'{overall["n"]} clips')
for name in ('accuracy', 'uf1', 'uar'):
  low, high = overall[name]['interval_95']
  print(f'{name:9} {overall[name]["mean"]:.3f} ({low:.3f} to {high:.3f})')

# %% [markdown]
# The report of the run: confusion matrix, learning curves, dynamic images.

# %%
import html

from IPython import display


def show(page):
  """A page of HTML inside this one."""
  text = html.escape(page.read_text(encoding='utf-8'))
  frame = f'<iframe srcdoc="{text}" width="100%" height="600"></iframe>'
  display.display(display.HTML(f'<div>{frame}</div>'))


show(work / 'demo' / 'report.html')

# %% [markdown]
# ## A video of a face
#
# A photograph in the public domain, whose brows go up by four pixels and come
# down again within a fifth of a second: an expression that is known.

# %%
import cv2
import numpy as np
from skimage import data

face = cv2.resize(data.astronaut()[:300, 80:380], (600, 600))
height, width = face.shape[:2]
y, x = np.mgrid[:height, :width].astype(np.float32)
brows = sum(
  np.exp(-((x - column) ** 2 + (y - 180) ** 2) / (2 * 24**2))
  for column in (238, 328)
)
shares = np.sin(np.linspace(0, np.pi, 40))
frames = [
  cv2.remap(
    face, x, (y + 4 * share * brows).astype(np.float32), cv2.INTER_CUBIC
  )
  for share in shares
]
video = work / 'brows.mp4'
writer = cv2.VideoWriter(
  str(video), cv2.VideoWriter_fourcc(*'mp4v'), 200, (width, height)
)
for frame in frames:
  writer.write(np.ascontiguousarray(frame[..., ::-1]))
writer.release()

# %% [markdown]
# By the command, with the network that comes with the package:

# %%
# !python -m dianet_jax predict {video} --out={work}/prediction 2>&1 | cat
show(work / 'prediction' / 'report.html')

# %% [markdown]
# And in Python. Each image is what the network reads of one phase: motion to
# the right, down, and how much the skin stretches, as red, green and blue.

# %%
import dianet_jax
from dianet_jax.motion import display as motion_display

bundle = dianet_jax.load_bundle()
prediction = bundle.predict_video(video)
clip = prediction.clip
pictures = [
  (f'{key}: frame {clip.numbers[index]}', clip.frames[index])
  for key, index in (
    ('onset', clip.onset),
    ('apex', clip.apex),
    ('offset', clip.offset),
  )
]
for name, channels in bundle.channels.items():
  pictures += motion_display.pictures(
    prediction.inputs[name], bundle.views[name], channels
  )
figure, axes = plt.subplots(1, len(pictures), figsize=(15, 3.4))
for axis, (title, picture) in zip(axes, pictures, strict=True):
  axis.imshow(picture)
  axis.set_title(title)
  axis.axis('off')
figure.suptitle(
  ', '.join(f'{k} {v:.2f}' for k, v in prediction.probabilities.items())
)
plt.show()

# %% [markdown]
# What such a prediction is worth, and what it must not be used for:
# `docs/predict.md`. Your own video: upload it, and put its path in place of
# `video`. Your own data set: `docs/data.md`.
