"""Statistics over aggregates: numpy and scipy only, no I/O; usable by itself."""
