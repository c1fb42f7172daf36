"""How each fixture of `benchmarks.parity` is run: name -> `System`."""

from collections.abc import Mapping

from benchmarks import parity_flow as flow
from benchmarks import parity_frames as frames
from benchmarks import parity_losses as losses
from benchmarks.parity_apply import System

_LOSSES = 'arrays that are described in words'
SYSTEMS: Mapping[str, System] = {
  'ststnet': System(flow.run_ststnet),
  'offapexnet': System(flow.run_offapexnet),
  'htnet_small': System(flow.run_htnet),
  'htnet': System(flow.run_htnet),
  'causalnet_blocks': System(flow.run_causalnet_blocks),
  'causalnet': System(flow.run_causalnet),
  'biovilt_pooler_small': System(flow.run_biovilt_pooler),
  'biovilt_pooler': System(flow.run_biovilt_pooler),
  'biovilt_encoder': System(flow.run_biovilt_encoder),
  'gban_ggf': System(flow.run_gban, 'two sets of tokens from one formula'),
  'fmanet_ours': System(flow.run_fmanet),
  'skd_tstsan': System(frames.run_skd_tstsan),
  'slstt_small': System(frames.run_slstt),
  'slstt': System(frames.run_slstt),
  'tsfmicro_small': System(frames.run_tsfmicro),
  'tsfmicro': System(frames.run_tsfmicro),
  'gamdss_small': System(frames.run_gamdss_small),
  'gamdss': System(frames.run_gamdss),
  'ca_encoder': System(frames.run_ca_encoder),
  'atm_gcn_graph_ours': System(frames.run_atm_gcn_graph),
  'tcm': System(frames.run_tcm, '0.5*sin((i*i) mod 1013)'),
  'contrastive_losses': System(
    losses.run_contrastive, _LOSSES, ('outputs_p0', 'outputs_p1')
  ),
  'skd_losses': System(losses.run_skd_losses, _LOSSES, ('outputs',)),
  'mm_cof': System(losses.run_mm_cof, 'a flow of 6 x 6', ('outputs',)),
}
