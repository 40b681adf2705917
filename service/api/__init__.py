"""The HTTP interface: the application, its routes, its middleware and what they answer.

Routes call the service's lower rooms; none of those imports this one.
"""
