"""Signatures of checkpoints, the keys that are trusted for them, provenance, and bills of materials."""
