"""Evaluation: what is measured of samples, and how far two sets of samples lie apart."""
