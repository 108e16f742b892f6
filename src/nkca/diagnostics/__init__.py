"""Studies of a chain that runs from data at one noise level: is it stationary, reversible, how fast?"""
