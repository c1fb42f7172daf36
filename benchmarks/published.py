"""What was published of each system: figures, protocols and their faults."""

from collections.abc import Mapping
import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Published:
  """Published facts about a system.

  Attributes:
    title: its name.
    arxiv: number of the paper.
    figure: published figures, as published.
    protocol: the protocol behind them, and its faults.
    size: side of its images, pixels.
    rows: how the names of its rows in the leaderboard begin.
  """

  title: str
  arxiv: str
  figure: str
  protocol: str
  size: int
  rows: str


_OWN_TITLE = 'published figures are of other data'
PUBLISHED: Mapping[str, Published] = {
  'dianet': Published(
    'DIANet', '2510.12219', 'see docs/paper.md', 'epoch not stated', 112,
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
  'cots': Published(
    'COTS, its pretraining', '2204.07441', _OWN_TITLE, 'images and texts', 112,
    'COTS pretraining',
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
    'HTNet', '2307.14637',
    'UF1 composite .8603, CASME II .9532, SAMM .8131 (secondary)',
    'epoch chosen on the held-out subject; clips are not shuffled', 28, 'HTNet',
  ),
  'causalnet': Published(
    'CausalNet', '2508.06640',
    'UF1 composite .8976, CASME II .9811, SAMM .8780',
    'epoch chosen on the held-out subject, or the first with accuracy 1; a'
    ' subject that is always wrong is left out; clips are not shuffled;'
    ' settings compared on test results', 28, 'CausalNet',
  ),
  'fmanet': Published(
    'FMANet (our reading)', '2510.07810',
    'accuracy CASME II .8730, SAMM .8456 (secondary)', 'unknown; no code', 112,
    'FMANet',
  ),
  'skd_tstsan': Published(
    'SKD-TSTSAN', '2406.17538', 'tables could not be read',
    'epoch chosen on the held-out subject; class weights of all clips', 48,
    'SKD-TSTSAN, ',
  ),
  'skd_tstsan_t': Published(
    'SKD-TSTSAN, temporal stream', '2406.17538', 'none: a part, ours', '', 28,
    'SKD-TSTSAN temporal',
  ),
  'slstt': Published(
    'SLSTT', '2112.05851',
    'UF1 composite .815, CASME II .893, SAMM .712 (from its matrices)',
    'epoch chosen on the held-out subject; subjects without a saved model are'
    ' left out', 112, 'SLSTT',
  ),
  'tsfmicro': Published(
    'TSFmicro', '2505.16372', 'tables could not be read',
    'accuracy and F1 each of their best epoch on the held-out subject; UAR is'
    ' mean precision', 224, 'TSFmicro',
  ),
  'gamdss': Published(
    'GAMDSS', '2603.04766', 'tables could not be read', 'as TSFmicro', 224,
    'GAMDSS',
  ),
  'atm_gcn': Published(
    'ATM-GCN (our reading)', '2406.08997', 'not found', 'unknown; no code',
    112, 'ATM-GCN',
  ),
  'slow_fast_tcm': Published(
    'Slow-Fast TCM', '2202.12116', 'top-1 52.2 % (Something-Something V1)',
    'other data', 112, 'Slow-Fast TCM',
  ),
}  # fmt: skip

# Systems that are DIANet with other settings: name -> facts, changed settings.
VARIANTS: Mapping[str, tuple[Published, Mapping[str, Any]]] = {
  'dianet, fusion=each_phase': (
    Published(
      'Phase-aware augmentation', '2510.15466',
      'accuracy over one dynamic image: CASME II +4.5 %, SAMM +6.5 %'
      ' (secondary)', 'unknown; no code', 112,
      'DIANet, phase-aware augmentation',
    ),
    {
      'model.fusion': 'each_phase',
      'model.share_backbone': True,
      'data.phases': ('onset_apex', 'apex_offset', 'onset_offset'),
    },
  ),
  'dianet, fusion=adaptive': (
    Published(
      'TRDI and MIDI, adaptive fusion', '2510.09730',
      'accuracy / UF1 CASME II .9395 / .8972, SAMM .8247 / .6652; accuracy MMEW'
      ' .7600', 'unknown; no code', 112, 'DIANet, TRDI and MIDI',
    ),
    {
      'model.fusion': 'adaptive',
      'data.phases': ('onset_offset',),
      'data.frame_order': 'both',
    },
  ),
}  # fmt: skip


def facts(name: str) -> tuple[Published, Mapping[str, Any]]:
  """Facts about a system, and how its settings differ from its model's."""
  return VARIANTS.get(name) or (PUBLISHED[name], {})
