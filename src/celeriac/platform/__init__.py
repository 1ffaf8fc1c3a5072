"""What the operating system offers a worker: signals now; pid files and detaching belong here too."""
