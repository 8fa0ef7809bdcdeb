"""Pictures that are larger than one field: overlapping tiles, a field each, blended without seams."""
