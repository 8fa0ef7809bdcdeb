"""What watches a run while it trains: the terminal, ``metrics.csv``, TensorBoard, pictures, spectra."""
