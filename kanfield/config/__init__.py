"""What can be configured: settings, presets, and how flags and files become settings.

Nothing here imports torch, so the command line shows its help at once.
"""
