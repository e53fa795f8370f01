"""The simulated body: a batched 2-D world and its rendered camera."""
