"""The Kafka client library as sources, sinks and state stores share it: its options, errors, tokens and topics."""
