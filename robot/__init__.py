"""The body: configuration, sensors, motors, camera, and the simulated world."""
