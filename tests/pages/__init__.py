"""What the documentation is made with: its drawings, and how docstrings become pages."""
