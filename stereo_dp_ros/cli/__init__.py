"""The `stereo-dp` command: thin commands over the other rooms."""
