"""4. A direct exchange passes a message to the queues bound with its very routing key."""
import os
import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ.get('LEVERET_URL', 'amqp://localhost')))
channel = connection.channel()
channel.exchange_declare('logs', 'direct')


def log(severity, text):
    channel.basic_publish('logs', routing_key=severity, body=text)
    print('logged', text, flush=True)


def listen(*severities):
    queue = channel.queue_declare('', exclusive=True).method.queue
    for severity in severities:
        channel.queue_bind(queue, 'logs', severity)
    print('listening', flush=True)
    for method, properties, body in channel.consume(queue, auto_ack=True):
        print(method.routing_key, body.decode(), flush=True)



try:
    {'log': log, 'listen': listen}[sys.argv[1]](*sys.argv[2:])
except KeyboardInterrupt:
    pass
finally:
    connection.close()
