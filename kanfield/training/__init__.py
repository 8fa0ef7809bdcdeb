"""Training: settings, the loop, checkpoints, monitors, runs."""
