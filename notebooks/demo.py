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
# This notebook trains networks on simulated clips, shows the result, makes a
# video of a real face and predicts its expression. It takes two minutes on a
# CPU. To run it in a clone of the repository, install
# `pip install -e '.[video,align]' scikit-image jupyter`.

# %%
import importlib.metadata
import os
import pathlib
import sys
import tempfile

if 'google.colab' in sys.modules:
  # Replace OWNER by the owner of the repository.
  repository = 'https://github.com/OWNER/dianet-jax'
  # Keeps the preinstalled jax, which supports the accelerator of Colab.
  installed_jax = 'jax==' + importlib.metadata.version('jax')
  # !git clone -q --depth=1 {repository} dianet-jax
  os.chdir('dianet-jax')
  # %pip install -q {installed_jax} '.[video,align]' scikit-image
elif not pathlib.Path('main.py').exists():
  os.chdir('..')

# Makes the commands below use the Python of this notebook.
folders = [os.path.dirname(sys.executable), os.environ['PATH']]
os.environ['PATH'] = os.pathsep.join(folders)
work = pathlib.Path(tempfile.mkdtemp())

# %% [markdown]
# ## Training
#
# This command simulates raw data of six drawn faces in the layout of CASME II.
# For each subject, it trains a network without the clips of this subject. The
# result shows that the program works; it does not apply to real faces.

# %%
# !python main.py --config=configs/demo.py --workdir={work}/demo 2>&1 | cat

# %% [markdown]
# ## Result
#
# Each clip is predicted by the network that was trained without its subject.

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
# The report of the run has the confusion matrix, learning curves and dynamic
# images.

# %%
import html

from IPython import display


def show(page):
  """Shows an HTML page in the notebook."""
  text = html.escape(page.read_text(encoding='utf-8'))
  frame = f'<iframe srcdoc="{text}" width="100%" height="600"></iframe>'
  display.display(display.HTML(f'<div>{frame}</div>'))


show(work / 'demo' / 'report.html')

# %% [markdown]
# ## A video of a face
#
# In this video, made from a photograph in the public domain, the brows rise by
# four pixels and fall again within a fifth of a second.

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
amplitudes = 4 * np.sin(np.linspace(0, np.pi, 40))
frames = [
  cv2.remap(
    face, x, (y + amplitude * brows).astype(np.float32), cv2.INTER_CUBIC
  )
  for amplitude in amplitudes
]
video = work / 'brows.mp4'
writer = cv2.VideoWriter(
  str(video), cv2.VideoWriter_fourcc(*'mp4v'), 200, (width, height)
)
for frame in frames:
  writer.write(np.ascontiguousarray(frame[..., ::-1]))
writer.release()

# %% [markdown]
# Prediction on the command line, with the network that the package includes:

# %%
# !python -m dianet_jax predict {video} --out={work}/prediction 2>&1 | cat
show(work / 'prediction' / 'report.html')

# %% [markdown]
# The same in Python. Each image is the network's input for one phase: red,
# green and blue are the optical flow to the right, the flow down, and the
# strain.

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
# `docs/predict.md` describes the limits of such predictions and what they must
# not be used for. To predict your own video, upload it and replace `video` by
# its path. To train on your own data set, see `docs/data.md`.
