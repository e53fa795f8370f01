"""Measurements of this machine: what the models cost here, each row in a process of its own."""
