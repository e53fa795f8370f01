"""The link: driving a robot from another process or another machine."""
