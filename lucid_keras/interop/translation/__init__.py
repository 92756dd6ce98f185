"""A PyTorch module as a Keras model: traced, read at two lengths, translated operation by operation, and compared."""
