"""The body on a Raspberry Pi: gpiozero for the pins, picamera2 and OpenCV for frames. Imported lazily."""
