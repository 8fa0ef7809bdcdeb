"""Runs on disk: the folder (see README.md here), checkpoints, and a run as an object."""
