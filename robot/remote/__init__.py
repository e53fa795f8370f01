"""A simulated body on another machine: the real runtime on the real processor drives it over the network."""
