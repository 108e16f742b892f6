"""Weights: the U-Net and the denoisers made from it."""
