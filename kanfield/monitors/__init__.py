"""What follows a run while it trains: the terminal, ``metrics.csv``, TensorBoard, pictures, spectra."""
