"""What runs in other processes: scripts over `channel`, each for the Python of its runtime."""
