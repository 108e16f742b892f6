"""The live page: steered chains without any web, their session file, and a server.

events      what a person can do, one vocabulary for page, session file and tests
moment      the chains at one moment, and what each event makes of it
history     past moments to go back to, in bounded memory
explorer    the whole behaviour: events and steps in, a new state out
session     the file that repeats it all
views       what is shown: sprites, thumbnails, the head of a frame
export      what is taken away: PNGs, a zip, a recording
guard       who may talk to the server
server      HTTP around one explorer
"""
