"""The process that the user started: owns the socket, the terminal, the watcher and the state machine."""
