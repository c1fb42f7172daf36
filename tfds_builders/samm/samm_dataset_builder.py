"""SAMM as records."""

from tfds_builders import records
from tfds_builders.samm import facts


class Builder(records.ClipBuilder):
  """Builder of SAMM."""

  FACTS = facts.FACTS
  BUILDER_CONFIGS = records.variant_configs(facts.DATA_SET)
  MANUAL_DOWNLOAD_INSTRUCTIONS = facts.FACTS.guide.instructions
