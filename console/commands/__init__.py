"""The commands of `overture`, one file each."""
