"""Training: the Trainer interface, the loop that runs it, run folders and their checkpoints."""
