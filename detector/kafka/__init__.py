"""What sources, sinks and state stores share about the Kafka client library: options, errors, tokens and topics."""
