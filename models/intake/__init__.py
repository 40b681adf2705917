"""Which images a folder or a CSV table names, for the service's client and for the readers of data sets.

It stands beside `preprocessing`, which decides what an image is; of an image it reads the first bytes.
"""
