"""Data sets: image files, folders and archives, and the order in which training reads them."""
