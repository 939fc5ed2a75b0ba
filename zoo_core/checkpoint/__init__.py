"""Verified files of a checkpoint, and construction of its model. No module of this package uses the network."""
