"""What goes to which pin, drawn from `robot.toml`."""
