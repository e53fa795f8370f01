"""A recorded run once more: the policy or the detector anew on what was recorded, and what differs."""
