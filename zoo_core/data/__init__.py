"""Data sets: picture files, folders and archives, and the order in which training sees them."""
