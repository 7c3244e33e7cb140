"""3. A fanout exchange gives a copy to every queue bound to it: all who listen now hear it."""
import os
import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ.get('LEVERET_URL', 'amqp://localhost')))
channel = connection.channel()
channel.exchange_declare('announcements', 'fanout')


def say(text):
    channel.basic_publish('announcements', routing_key='', body=text)
    print('said', text, flush=True)


def listen():
    queue = channel.queue_declare('', exclusive=True).method.queue  # the broker finds a name; it goes when we go
    channel.queue_bind(queue, 'announcements')
    print('listening', flush=True)
    for method, properties, body in channel.consume(queue, auto_ack=True):
        print('heard', body.decode(), flush=True)



try:
    say(sys.argv[2]) if sys.argv[1] == 'say' else listen()
except KeyboardInterrupt:
    pass
finally:
    connection.close()
