"""The Keras layers: build, call and config; the work is in `ops` and below."""
