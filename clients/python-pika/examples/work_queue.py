"""2. Many workers share one queue; a job is done when its worker says so.

A worker that dies with a job in hand loses nothing: the broker gives the job to another. The queue is durable and the
jobs are persistent, so a restart of the broker loses nothing either.
"""
import os
import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ.get('LEVERET_URL', 'amqp://localhost')))
channel = connection.channel()
channel.queue_declare('jobs', durable=True)


def add(job):
    channel.basic_publish('', 'jobs', job, pika.BasicProperties(delivery_mode=2))  # 2: persistent
    print('added', job, flush=True)


def work():
    channel.basic_qos(prefetch_count=1)  # the next job only when this one is done, so that nobody sits on a pile
    print('waiting', flush=True)
    for method, properties, body in channel.consume('jobs'):
        connection.sleep(body.count(b'.'))  # heartbeats go on meanwhile, which time.sleep() would not do
        print('done', body.decode(), flush=True)
        channel.basic_ack(method.delivery_tag)



try:
    add(sys.argv[2]) if sys.argv[1] == 'add' else work()
except KeyboardInterrupt:
    pass
finally:
    connection.close()
