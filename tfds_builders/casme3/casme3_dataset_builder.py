"""CAS(ME)3, part A as records."""

from tfds_builders import records
from tfds_builders.casme3 import facts


class Builder(records.ClipBuilder):
  """Builder of CAS(ME)3, part A."""

  FACTS = facts.FACTS
  MANUAL_DOWNLOAD_INSTRUCTIONS = facts.FACTS.guide.instructions
