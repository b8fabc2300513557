"""Events in Kafka: source, publisher, dead letters and lag.

The client is kafka-python; only this package imports it.
"""
