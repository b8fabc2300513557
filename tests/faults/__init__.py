"""Faults made outside our process, between and under real servers.

The real command runs as a process of its own; what disturbs it is a signal, a TCP proxy, a server
that is stopped or killed, a second client of the database, a disk that is full. In the end the
graph has the state that the specification gives to the set of all published events, the positions
stand at the ends of the partitions, the dead letters are the bad events and no others, and the
features are those of a projection from scratch.
"""
