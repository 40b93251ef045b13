"""The science: one GAN step, mapped over replicas, and the scores of what it makes.

Importing it registers the built-in components.
"""

from gan import targets
from gan.model import losses, networks, optimisers, penalties
from gan.plugins import registry

for family in (losses, penalties, optimisers, networks, targets):
    registry.register(family.COMPONENTS)
