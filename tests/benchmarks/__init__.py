"""The benchmark of the named cases, its results and what they say; the timing is `lucid_keras.bench`."""
