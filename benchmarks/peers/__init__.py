"""The Python SDKs of other systems, in process, each with one flag: 50 % control, 50 % treatment.

Every adapter has `DISTRIBUTION`, the name of its package, and `load() -> Peer`. None opens a
connection: the configuration is given to it, and events go nowhere or to a closed port.
"""
