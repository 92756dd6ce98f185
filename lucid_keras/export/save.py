"""Traced graphs to a SavedModel on disk."""

import tensorflow as tf


def save(module, folder, signatures, *, gradients=True):
    """`tf.saved_model.save` into a folder; raises OSError where the files cannot be written."""
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=gradients)
    try:
        tf.saved_model.save(module, str(folder), signatures=signatures, options=options)
    except tf.errors.OpError as error:  # a full disk, say: graphs run nothing while they are saved
        raise OSError(f"Every file of the SavedModel must be written. Received: {str(error).splitlines()[0]}") from None
