"""Weights: the U-Net and its layers."""
