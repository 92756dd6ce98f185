"""The exact lowerings of the transposed convolution to graph operations, and the choice among them."""
