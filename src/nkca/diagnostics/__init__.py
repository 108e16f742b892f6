"""What a chain does when it runs from data at one level: is it stationary, reversible, how fast?"""
