"""Model cards and the numbers on them."""
