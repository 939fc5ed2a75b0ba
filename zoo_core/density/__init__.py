"""Densities: log-probabilities of denoisers, and bijections with their Jacobians."""
