"""The web console at `/`: static files that are shipped with the package, and the routes that serve them.

The files need no build step and load nothing from elsewhere. They call the same routes as any client.
"""
