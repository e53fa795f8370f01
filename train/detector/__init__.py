"""The project's own detector of persons: a small one-class YOLO, trained on rendered scenes."""
