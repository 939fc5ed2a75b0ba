"""The files of a checkpoint, verified, and the model that is built from them. No module here uses the network."""
