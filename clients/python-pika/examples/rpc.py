"""6. Ask a question and wait for the answer.

The caller consumes from amq.rabbitmq.reply-to and names it in reply_to: answers then come straight to its channel, and
no reply queue has to be made. The correlation id tells which question an answer belongs to.
"""
import os
import sys

import pika

connection = pika.BlockingConnection(pika.URLParameters(os.environ.get('LEVERET_URL', 'amqp://localhost')))
channel = connection.channel()
REPLY_TO = 'amq.rabbitmq.reply-to'


def fibonacci(n):
    before, current = 0, 1
    for _ in range(n):
        before, current = current, before + current
    return before


def serve():
    channel.queue_declare('fibonacci')
    channel.basic_qos(prefetch_count=1)
    print('waiting', flush=True)
    for method, properties, body in channel.consume('fibonacci'):
        answer = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish('', properties.reply_to, str(fibonacci(int(body))), answer)
        channel.basic_ack(method.delivery_tag)


def ask(n):
    answers = {}
    channel.basic_consume(REPLY_TO, lambda _, __, properties, body: answers.update({properties.correlation_id: body}), True)
    channel.basic_publish('', 'fibonacci', n, pika.BasicProperties(reply_to=REPLY_TO, correlation_id=n))
    while n not in answers:
        connection.process_data_events(time_limit=1)
    print(f'fibonacci({n}) = {answers[n].decode()}', flush=True)


try:
    ask(sys.argv[2]) if sys.argv[1] == 'ask' else serve()
except KeyboardInterrupt:
    pass
finally:
    connection.close()
