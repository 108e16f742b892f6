"""The live page: chains that a user steers, their session file, and a server.

chains      the behaviour without any web: events and steps in, a new state out
session     the session file: written, replayed, exported
web         the HTTP server of the page
static      the page
"""
