"""Conditions that are linear measurements of z: any, means of blocks, grey values."""
