"""The learned spotter that comes with the package, read when it is imported."""

from dianet_jax.inference import learned

LEARNED = learned.load(learned.SHIPPED)
