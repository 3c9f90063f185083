"""Training: step, loop, optimisers, checkpoints, run folders."""
