"""The command line.  Commands turn options into calls of the app and the worker; they hold no logic of either."""
