"""What every package needs and none owns: errors, YAML models, places on disk, progress."""
