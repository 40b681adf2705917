"""Under the application: connections, how many there may be, and HTTP on them, within bounds.

Nothing but the server imports this room.
"""
