"""Traced graphs to a SavedModel on disk."""

import tensorflow as tf


def save(module, folder, signatures):
    """`tf.saved_model.save` into a folder; raises OSError where the files cannot be written."""
    try:
        tf.saved_model.save(module, str(folder), signatures=signatures)
    except tf.errors.OpError as error:  # a full disk, say: graphs run nothing while they are saved
        raise OSError(f"Every file of the SavedModel must be written. Received: {str(error).splitlines()[0]}") from None
