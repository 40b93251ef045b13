"""The science: one GAN step, mapped over replicas, and the scores of what it makes.

Importing it registers the built-in components.
"""

import gan.model.losses
import gan.model.networks
import gan.model.optimisers
import gan.model.penalties
import gan.targets  # noqa: F401
