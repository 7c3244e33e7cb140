"""1. One program puts a message into a queue, another takes it out."""
import os
import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ.get('LEVERET_URL', 'amqp://localhost')))
channel = connection.channel()
# Both sides declare the queue: whoever comes first makes it, the other finds it.
channel.queue_declare('hello')


def send():
    channel.basic_publish(exchange='', routing_key='hello', body='Hello, hare!')
    print('sent', flush=True)


def receive():
    print('waiting', flush=True)
    for method, properties, body in channel.consume('hello', auto_ack=True):
        print('received', body.decode(), flush=True)



try:
    {'send': send, 'receive': receive}[sys.argv[1]]()
except KeyboardInterrupt:
    pass
finally:
    connection.close()
