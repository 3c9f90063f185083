"""Devices: memory of the CPU, meshes, processes."""
