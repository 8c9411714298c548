"""One module a command of ``teleclass``: each has ``main(arguments)``, which returns the exit status."""
