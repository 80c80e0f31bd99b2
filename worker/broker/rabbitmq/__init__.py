"""RabbitMQ: the transport and the producer."""
