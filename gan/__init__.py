"""The science: one GAN step, mapped over replicas, and the scores of what it makes."""
