"""Keras and Darknet models in, quantised and proven .tflite out."""
