"""Shared by several studies: full-batch training, whitening, fields in published shapes, an image, panels."""
