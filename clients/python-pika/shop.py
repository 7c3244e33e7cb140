"""The patterns of messaging with pika's BlockingConnection, as an online shop uses them. Copy what you need.

Every function takes a channel that the caller opened; `run` beside this file calls and checks them.
"""
import time
import uuid

import pika
from pika.exceptions import AMQPConnectionError, NackError

DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to'
PERSISTENT = pika.BasicProperties(delivery_mode=2)


def connect(url, **options):
    """`options` are pika's connection parameters, such as heartbeat=30 (seconds)."""
    parameters = pika.URLParameters(url)
    for name, value in options.items():
        setattr(parameters, name, value)
    return pika.BlockingConnection(parameters)


# --- work queue ---
def declare_work_queue(channel, queue):
    channel.queue_declare(queue, durable=True)


def add_work(channel, queue, body):
    channel.basic_publish('', queue, body, PERSISTENT)


def do_work(channel, queue, work, prefetch=1, idle_s=1):
    """Handles messages until none has come for `idle_s` seconds; what `work` refuses goes back to the queue once."""
    channel.basic_qos(prefetch_count=prefetch)
    for method, _, body in channel.consume(queue, inactivity_timeout=idle_s):
        if method is None:
            break
        try:
            work(body)
        except Exception:
            channel.basic_reject(method.delivery_tag, requeue=not method.redelivered)
        else:
            channel.basic_ack(method.delivery_tag)
    channel.cancel()


# --- publish and subscribe ---
def subscribe(channel, exchange, exchange_type, routing_key='', arguments=None):
    """A queue for this subscriber alone, gone with its connection. Returns its name."""
    channel.exchange_declare(exchange, exchange_type, auto_delete=True)
    queue = channel.queue_declare('', exclusive=True).method.queue
    channel.queue_bind(queue, exchange, routing_key, arguments)
    return queue


def get_all(channel, queue):
    """What lies in the queue now, as (body, properties). For tests and tools; services consume."""
    messages = []
    while True:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return messages
        messages.append((body, properties))


# --- remote procedure call ---
def call(connection, queue, body, timeout_s=5):
    """Asks the service behind `queue` and returns the answer. Direct reply-to needs no reply queue."""
    channel = connection.channel()
    answers = []
    question_id = str(uuid.uuid4())
    channel.basic_consume(DIRECT_REPLY_TO, lambda *delivery: answers.append(delivery), auto_ack=True)
    properties = pika.BasicProperties(reply_to=DIRECT_REPLY_TO, correlation_id=question_id)
    channel.basic_publish('', queue, body, properties, mandatory=True)
    deadline = time.monotonic() + timeout_s
    while not answers and time.monotonic() < deadline:
        connection.process_data_events(time_limit=0.1)
    channel.close()
    if not answers:
        raise TimeoutError('no answer')
    _, _, properties, answer = answers[0]
    assert properties.correlation_id == question_id
    return answer


def serve(channel, queue, answer):
    """Answers every question that comes to `queue`. Returns the consumer tag."""

    def on_question(channel, method, properties, body):
        reply = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish('', properties.reply_to, answer(body), reply)
        channel.basic_ack(method.delivery_tag)

    return channel.basic_consume(queue, on_question)


# --- confirms ---
def publish_safely(channel, queue, body):
    """On a channel with confirm_delivery(): True once the broker has the message safe, False if it refused it."""
    try:
        channel.basic_publish('', queue, body, PERSISTENT, mandatory=True)
        return True
    except NackError:
        return False


# --- reconnect ---
def consume_forever(url, queue, on_message, is_done, retry_s=0.2):
    """Consumes, and connects again whenever the connection is lost. Unacknowledged messages come again."""
    while not is_done():
        try:
            connection = connect(url)
            channel = connection.channel()
            channel.queue_declare(queue, durable=True)
            channel.basic_qos(prefetch_count=10)
            for method, _, body in channel.consume(queue, inactivity_timeout=0.2):
                if method is not None:
                    on_message(body, method.redelivered)
                    channel.basic_ack(method.delivery_tag)
                if is_done():
                    connection.close()
                    return
        except AMQPConnectionError:
            time.sleep(retry_s)
