"""Many GANs as one program: cohorts, chunks, compiled steps, checkpoints."""
