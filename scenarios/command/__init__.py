"""The `fedlearn` command: its sub-commands, options, terminal output and interrupts."""
