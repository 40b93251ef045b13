"""One GAN: its networks, losses and optimisers, and the training step."""
