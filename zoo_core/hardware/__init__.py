"""Hardware: devices, native dtypes, memory, and the record of software and processor."""
