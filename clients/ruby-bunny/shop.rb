# The patterns of messaging with bunny, as an online shop uses them. Copy what you need; `run` calls and checks them.
require 'bunny'

module Shop
  module_function

  # --- work queue ---
  def add_work(channel, queue, body)
    channel.default_exchange.publish(body, routing_key: queue, persistent: true)
  end

  # Handles messages as they come; what the block refuses by raising goes back to the queue once. Returns the consumer.
  def do_work(channel, queue, prefetch: 1)
    channel.prefetch(prefetch)
    channel.queue(queue, durable: true).subscribe(manual_ack: true) do |delivery, _properties, body|
      yield body
      channel.ack(delivery.delivery_tag)
    rescue StandardError
      channel.reject(delivery.delivery_tag, !delivery.redelivered?)
    end
  end

  # --- publish and subscribe ---
  # A queue for this subscriber alone, gone with its connection.
  def subscribe(channel, exchange, routing_key: '', arguments: {})
    channel.queue('', exclusive: true).bind(exchange, routing_key: routing_key, arguments: arguments)
  end

  # --- remote procedure call ---
  # Asks the service behind `queue` and returns the answer. Direct reply-to needs no reply queue.
  def call(connection, queue, question, timeout: 5)
    channel = connection.create_channel
    answers = Queue.new
    channel.basic_consume('amq.rabbitmq.reply-to', '', true) { |_delivery, _properties, body| answers << body }
    channel.default_exchange.publish(question, routing_key: queue, reply_to: 'amq.rabbitmq.reply-to', mandatory: true)
    Timeout.timeout(timeout) { answers.pop }
  ensure
    channel&.close
  end

  # Answers every question that comes to `queue` with what the block makes of it.
  def serve(queue)
    queue.subscribe do |_delivery, properties, body|
      queue.channel.default_exchange.publish(yield(body), routing_key: properties.reply_to)
    end
  end

  # --- confirms ---
  # On a channel with confirm_select: true once the broker has the message safe, false when it refused it.
  def publish_safely(channel, queue, body)
    add_work(channel, queue, body)
    channel.wait_for_confirms
  end
end
