"""Darknet's files (cfg, weights, names) into Keras models."""
