"""The mind: what runs on the robot - models, perception, policies, guard, loop, recording, command line."""
