"""The real body: gpiozero on a Raspberry Pi, picamera2 and OpenCV cameras."""
