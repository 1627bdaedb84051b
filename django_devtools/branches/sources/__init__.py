"""Where migrations come from: git, snapshots, files."""
