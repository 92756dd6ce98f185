"""The operation timed against its peers, parity first; imported by nobody but the command line and `make bench`."""
