<?php
// The patterns of messaging with php-amqplib, as an online shop uses them. Copy what you need; `run` calls and checks them.

use PhpAmqpLib\Channel\AMQPChannel;
use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;

final class Shop
{
    public static function connect(string $url, string $vhost = null, int $heartbeat = 0): AMQPStreamConnection
    {
        $at = parse_url($url);
        $path = urldecode(ltrim($at['path'] ?? '', '/'));
        return new AMQPStreamConnection(
            $at['host'], $at['port'] ?? 5672, $at['user'] ?? 'guest', $at['pass'] ?? 'guest',
            $vhost ?? ($path === '' ? '/' : $path), heartbeat: $heartbeat, read_write_timeout: 10.0
        );
    }

    // --- work queue ---
    public static function addWork(AMQPChannel $channel, string $queue, string $body): void
    {
        $message = new AMQPMessage($body, ['delivery_mode' => AMQPMessage::DELIVERY_MODE_PERSISTENT]);
        $channel->basic_publish($message, '', $queue);
    }

    /** Handles messages until none has come for $idle seconds; what $work refuses by throwing goes back to the queue once. */
    public static function doWork(AMQPChannel $channel, string $queue, callable $work, int $prefetch = 1, float $idle = 1): void
    {
        $channel->basic_qos(0, $prefetch, false);
        $tag = $channel->basic_consume($queue, callback: function (AMQPMessage $message) use ($work) {
            try {
                $work($message->body);
                $message->ack();
            } catch (Exception) {
                $message->reject(!$message->isRedelivered());
            }
        });
        self::waitUntilQuiet($channel, $idle);
        $channel->basic_cancel($tag);
    }

    /** Lets callbacks run until nothing has come for so many seconds. */
    public static function waitUntilQuiet(AMQPChannel $channel, float $idle): void
    {
        try {
            while (true) $channel->wait(null, false, $idle);
        } catch (PhpAmqpLib\Exception\AMQPTimeoutException) {
        }
    }

    // --- publish and subscribe ---
    /** A queue for this subscriber alone, gone with its connection. Returns its name. */
    public static function subscribe(AMQPChannel $channel, string $exchange, string $type, string $key = '', array $arguments = []): string
    {
        $channel->exchange_declare($exchange, $type, false, false, true);
        [$queue] = $channel->queue_declare('', false, false, true);
        $channel->queue_bind($queue, $exchange, $key, false, new AMQPTable($arguments));
        return $queue;
    }

    // --- remote procedure call ---
    /** Asks the service behind the queue and returns the answer. Direct reply-to needs no reply queue. */
    public static function call(AMQPChannel $channel, string $queue, string $question): string
    {
        $answer = null;
        $tag = $channel->basic_consume('amq.rabbitmq.reply-to', no_ack: true, callback: function (AMQPMessage $message) use (&$answer) {
            $answer = $message->body;
        });
        $channel->basic_publish(new AMQPMessage($question, ['reply_to' => 'amq.rabbitmq.reply-to']), '', $queue);
        while ($answer === null) $channel->wait(null, false, 5);
        $channel->basic_cancel($tag);
        return $answer;
    }

    /** Answers the questions that come to the queue, when the connection's callbacks run. */
    public static function serve(AMQPChannel $channel, string $queue, callable $answer): void
    {
        $channel->basic_consume($queue, callback: function (AMQPMessage $question) use ($channel, $answer) {
            $channel->basic_publish(new AMQPMessage($answer($question->body)), '', $question->get('reply_to'));
            $question->ack();
        });
    }

    // --- confirms ---
    /** On a channel with confirm_select: true once the broker has the message safe, false when it refused it. */
    public static function publishSafely(AMQPChannel $channel, string $queue, string $body): bool
    {
        $isSafe = false;
        $channel->set_ack_handler(function () use (&$isSafe) { $isSafe = true; });
        self::addWork($channel, $queue, $body);
        $channel->wait_for_pending_acks(10);
        return $isSafe;
    }
}
