"""7. Publisher confirms: the broker says when a message is safe; until then it may be lost with either side.

A persistent message is safe once it is on the broker's disk. On a blocking channel each publish waits for its confirm:
simple and slow. Where that matters, keep many outstanding on an asynchronous connection (see confirm_many in ../run).
"""
import os
import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ.get('LEVERET_URL', 'amqp://localhost')))
channel = connection.channel()
channel.queue_declare('orders', durable=True)
channel.confirm_delivery()


def order(number):
    try:
        # mandatory: a message that no queue takes comes back instead of vanishing
        channel.basic_publish('', 'orders', str(number), pika.BasicProperties(delivery_mode=2), mandatory=True)
    except pika.exceptions.UnroutableError:
        print('no queue for order', number)
    except pika.exceptions.NackError:
        print('the broker refused order', number)


for number in range(100):
    order(number)
print('100 orders are safe', flush=True)
channel.queue_delete('orders')
connection.close()
