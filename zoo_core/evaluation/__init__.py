"""Evaluation: metrics of samples and of real data, feature spaces, and records that can be reproduced."""
