"""From a frame to detections: the detector, and the process that runs it."""
