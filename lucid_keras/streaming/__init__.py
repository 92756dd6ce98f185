"""A signal that arrives in chunks: the layer and the model that stream, and what each kind of layer remembers."""
