"""Studies: each runs fits and writes a report."""
