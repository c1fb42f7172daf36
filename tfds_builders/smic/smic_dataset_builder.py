"""SMIC-HS as records."""

from tfds_builders import records
from tfds_builders.smic import facts


class Builder(records.ClipBuilder):
  """Builder of SMIC-HS."""

  FACTS = facts.FACTS
  BUILDER_CONFIGS = records.variant_configs(facts.DATA_SET)
  MANUAL_DOWNLOAD_INSTRUCTIONS = facts.FACTS.guide.instructions
