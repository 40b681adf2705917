"""Who may ask for what: keys, the one table of what each route needs, limits, and the audit log.

The guard, a middleware, is the one gate; it asks the other modules here and none of them asks it.
"""
