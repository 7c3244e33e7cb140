"""The patterns of messaging with aio-pika, as an online shop uses them. Copy what you need.

Connections are robust ones: after a restart of the broker they connect again and declare, bind and consume as before.
"""
import asyncio
import uuid

from aio_pika import DeliveryMode, ExchangeType, Message, connect_robust

DIRECT_REPLY_TO = 'amq.rabbitmq.reply-to'


async def connect(url):
    return await connect_robust(url, reconnect_interval=0.2)


# --- work queue ---
async def declare_work_queue(channel, name):
    return await channel.declare_queue(name, durable=True)


async def add_work(channel, name, body):
    """Returns once the broker has the work safe: aio-pika's channels have publisher confirms on by default."""
    await channel.default_exchange.publish(Message(body, delivery_mode=DeliveryMode.PERSISTENT), name)


async def do_work(channel, name, work, is_done, prefetch=1):
    """Handles messages until `is_done()`; what `work` refuses goes back to the queue once, then is dropped."""
    await channel.set_qos(prefetch_count=prefetch)
    queue = await declare_work_queue(channel, name)
    async with queue.iterator() as messages:
        async for message in messages:
            try:
                async with message.process(requeue=True, reject_on_redelivered=True):
                    await work(message.body)
            except ValueError:
                continue  # what this work raises; the message went back
            if is_done():
                return


# --- publish and subscribe ---
async def subscribe(channel, exchange, kind=ExchangeType.FANOUT, routing_key='', arguments=None):
    """A queue for this subscriber alone, gone with its connection."""
    await channel.declare_exchange(exchange, kind, auto_delete=True)
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, routing_key, arguments=arguments)
    return queue


async def publish(channel, exchange, routing_key, body, **properties):
    exchange = await channel.get_exchange(exchange, ensure=False)
    return await exchange.publish(Message(body, **properties), routing_key, mandatory=False)


async def get_all(queue):
    """What lies in the queue now. For tests and tools; services consume."""
    messages = []
    while (message := await queue.get(no_ack=True, fail=False)) is not None:
        messages.append(message)
    return messages


# --- remote procedure call ---
async def call(channel, name, body, timeout_s=5):
    """Asks the service behind the queue `name`. Direct reply-to needs no reply queue."""
    answer = asyncio.get_running_loop().create_future()
    replies = await channel.get_queue(DIRECT_REPLY_TO, ensure=False)
    consumer = await replies.consume(answer.set_result, no_ack=True)
    try:
        question = Message(body, reply_to=DIRECT_REPLY_TO, correlation_id=str(uuid.uuid4()))
        await channel.default_exchange.publish(question, name)
        message = await asyncio.wait_for(answer, timeout_s)
        assert message.correlation_id == question.correlation_id
        return message.body
    finally:
        await replies.cancel(consumer)


async def serve(channel, queue, answer):
    async def on_question(message):
        async with message.process():
            reply = Message(answer(message.body), correlation_id=message.correlation_id)
            await channel.default_exchange.publish(reply, message.reply_to, mandatory=False)

    return await queue.consume(on_question)
