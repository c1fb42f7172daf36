"""The learned spotter that the package includes, loaded on import."""

from dianet_jax.inference import learned

LEARNED = learned.load(learned.SHIPPED)
