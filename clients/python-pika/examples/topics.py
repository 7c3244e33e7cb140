"""5. A topic exchange compares words: in a binding, * is one word and # any number of them."""
import os
import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ.get('LEVERET_URL', 'amqp://localhost')))
channel = connection.channel()
channel.exchange_declare('events', 'topic')


def log(key, text):
    channel.basic_publish('events', routing_key=key, body=text)
    print('logged', text, flush=True)


def listen(*patterns):
    queue = channel.queue_declare('', exclusive=True).method.queue
    for pattern in patterns:
        channel.queue_bind(queue, 'events', pattern)
    print('listening', flush=True)
    for method, properties, body in channel.consume(queue, auto_ack=True):
        print(method.routing_key, body.decode(), flush=True)



try:
    {'log': log, 'listen': listen}[sys.argv[1]](*sys.argv[2:])
except KeyboardInterrupt:
    pass
finally:
    connection.close()
