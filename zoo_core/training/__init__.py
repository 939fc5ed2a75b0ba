"""Training: the Trainer interface, the loop that runs it, its data and its checkpoints."""
