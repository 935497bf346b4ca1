"""Faults made on purpose: kills, power losses, full disks, damage, and the runs that meet them."""
