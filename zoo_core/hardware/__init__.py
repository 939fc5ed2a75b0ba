"""Hardware: devices, number types, memory, and the record of the software and the processor."""
