"""The patterns of messaging with kombu (the library below Celery), as an online shop uses them. Copy what you need.

Exchanges and queues are objects; producers and consumers declare the ones they are given.
"""
import socket
import uuid

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.mixins import ConsumerMixin

DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to'
# While the broker restarts, a publish waits and is tried again.
RETRY = {'retry': True, 'retry_policy': {'interval_start': 0.1, 'interval_step': 0.1, 'interval_max': 0.5, 'max_retries': 60}}


def connect(url, **options):
    """With confirms: a publish returns once the broker has the message safe, and raises when it refuses it."""
    return Connection(url, transport_options={'confirm_publish': True}, **options)


# --- work queue ---
def work_queue(name):
    return Queue(name, Exchange(name, type='direct', durable=True), routing_key=name, durable=True)


def add_work(connection, queue, job):
    """Any JSON. Persistent by default; the exchange and the queue are declared before."""
    connection.Producer().publish(job, exchange=queue.exchange, routing_key=queue.routing_key, declare=[queue], **RETRY)


def do_work(connection, queue, work, prefetch=1, idle_s=0.5):
    """Handles messages until none has come for `idle_s` seconds; what `work` refuses goes back to the queue once."""

    def on_message(body, message):
        try:
            work(body)
        except Exception:
            message.reject(requeue=not message.delivery_info['redelivered'])
        else:
            message.ack()

    with connection.Consumer(queue, callbacks=[on_message], prefetch_count=prefetch):
        drain(connection, idle_s)


def drain(connection, idle_s):
    try:
        while True:
            connection.drain_events(timeout=idle_s)
    except socket.timeout:
        pass


# --- a service that survives restarts ---
class Worker(ConsumerMixin):
    """Connects again by itself and consumes as before; `run()` returns when `should_stop` is set."""

    def __init__(self, connection, queue, on_job):
        self.connection = connection
        self.queue = queue
        self.on_job = on_job

    def get_consumers(self, consumer_class, channel):
        return [consumer_class(self.queue, callbacks=[self.on_message], prefetch_count=10)]

    def on_message(self, body, message):
        self.on_job(body, self)
        message.ack()


# --- publish and subscribe ---
def subscribe(channel, exchange, routing_key='', arguments=None):
    """A queue for this subscriber alone, gone with its connection."""
    queue = Queue('', exchange, routing_key, binding_arguments=arguments, exclusive=True, durable=False)
    bound = queue.bind(channel)
    bound.declare()
    return bound


def get_all(queue):
    """What lies in the queue now. For tests and tools; services consume."""
    messages = []
    while (message := queue.get(no_ack=True)) is not None:
        messages.append(message)
    return messages


# --- remote procedure call ---
def call(connection, queue, question, timeout_s=5):
    """Asks the service behind `queue`. Direct reply-to needs no reply queue; consume first, then ask, on one channel."""
    answers, question_id = [], str(uuid.uuid4())

    def on_answer(body, message):
        if message.properties['correlation_id'] == question_id:
            answers.append(body)

    with connection.channel() as channel:
        replies = Queue(DIRECT_REPLY_TO, no_declare=True)
        with Consumer(channel, replies, callbacks=[on_answer], no_ack=True, auto_declare=False):
            Producer(channel).publish(question, routing_key=queue, reply_to=DIRECT_REPLY_TO, correlation_id=question_id)
            while not answers:
                connection.drain_events(timeout=timeout_s)
    return answers[0]


def serve(connection, queue, answer):
    """A consumer that answers every question; it works while the connection drains events."""
    producer = connection.Producer()

    def on_question(body, message):
        properties = message.properties
        producer.publish(answer(body), routing_key=properties['reply_to'], correlation_id=properties['correlation_id'])
        message.ack()

    return connection.Consumer(queue, callbacks=[on_question])
