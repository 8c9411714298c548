"""What the experiment stands on: artifacts, devices, processes, tracking, the terminal."""
