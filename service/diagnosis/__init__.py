"""What `lka-reid doctor` looks at: the machine, the runtimes, and what the settings name."""
