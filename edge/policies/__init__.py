"""From an observation to a wanted command: reactive and learned policies."""
