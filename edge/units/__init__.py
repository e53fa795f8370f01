"""Units for systemd: the motors' own process, the runtime, and the hardware watchdog."""
