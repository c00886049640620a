"""What answers while the user's code is broken: the failure, its page, and the app that serves it."""
