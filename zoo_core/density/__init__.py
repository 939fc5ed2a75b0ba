"""Log-probabilities: of denoisers, and of transforms that carry their Jacobian."""
