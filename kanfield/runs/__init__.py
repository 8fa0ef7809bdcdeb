"""Runs as they lie on disk: the folder, checkpoints, and a run as an object."""
