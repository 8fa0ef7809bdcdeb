"""Training: the loop, optimisers, sampling, evaluation, results."""
