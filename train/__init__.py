"""Environments, reinforcement learning, the detector's training, evaluation, the demo."""
