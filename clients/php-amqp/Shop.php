<?php
// The patterns of messaging with php-amqp, as an online shop uses them. Copy what you need; `run` calls and checks them.

final class Shop
{
    public static function connect(string $url, array $more = []): AMQPConnection
    {
        $at = parse_url($url);
        $path = urldecode(ltrim($at['path'] ?? '', '/'));
        $connection = new AMQPConnection($more + [
            'host' => $at['host'], 'port' => $at['port'] ?? 5672, 'vhost' => $path === '' ? '/' : $path,
            'login' => $at['user'] ?? 'guest', 'password' => $at['pass'] ?? 'guest',
            'connect_timeout' => 10.0, 'rpc_timeout' => 10.0, 'read_timeout' => 10.0, 'write_timeout' => 10.0,
        ]);
        $connection->connect();
        return $connection;
    }

    /** A queue to declare, or one that is there already. */
    public static function queue(AMQPChannel $channel, string $name, int $flags = AMQP_NOPARAM, array $arguments = []): AMQPQueue
    {
        $queue = new AMQPQueue($channel);
        if ($name !== '') $queue->setName($name);
        $queue->setFlags($flags);
        $queue->setArguments($arguments);
        return $queue;
    }

    public static function exchange(AMQPChannel $channel, string $name, string $type, int $flags = AMQP_NOPARAM): AMQPExchange
    {
        $exchange = new AMQPExchange($channel);
        $exchange->setName($name);
        $exchange->setType($type);
        $exchange->setFlags($flags);
        $exchange->declareExchange();
        return $exchange;
    }

    // --- work queue ---
    public static function addWork(AMQPChannel $channel, string $queue, string $body): void
    {
        (new AMQPExchange($channel))->publish($body, $queue, AMQP_NOPARAM, ['delivery_mode' => 2]);
    }

    /** Handles messages until none has come for $idle seconds; what $work refuses by throwing goes back to the queue once. */
    public static function doWork(AMQPQueue $queue, callable $work, int $prefetch = 1, float $idle = 1): void
    {
        $queue->getChannel()->setPrefetchCount($prefetch);
        self::consumeUntilQuiet($queue, $idle, function (AMQPEnvelope $message) use ($queue, $work) {
            try {
                $work($message->getBody());
                $queue->ack($message->getDeliveryTag());
            } catch (RuntimeException) {
                $queue->reject($message->getDeliveryTag(), $message->isRedelivery() ? AMQP_NOPARAM : AMQP_REQUEUE);
            }
        });
        $queue->cancel();
    }

    /** Gives messages to the handler until none has come for so many seconds, or it returns false. The consumer stays. */
    public static function consumeUntilQuiet(AMQPQueue $queue, float $idle, callable $handle, int $flags = AMQP_NOPARAM): void
    {
        $connection = $queue->getConnection();
        $usual = $connection->getReadTimeout();
        $connection->setReadTimeout($idle);
        try {
            $queue->consume($handle, $flags);
        } catch (AMQPQueueException $error) {
            if ($error->getMessage() !== 'Consumer timeout exceed') throw $error;
        } finally {
            if ($connection->isConnected()) $connection->setReadTimeout($usual);
        }
    }

    // --- publish and subscribe ---
    /** A queue for this subscriber alone, gone with its connection. */
    public static function subscribe(AMQPExchange $exchange, string $key = '', array $arguments = []): AMQPQueue
    {
        $queue = self::queue($exchange->getChannel(), '', AMQP_EXCLUSIVE);
        $queue->declareQueue();
        $queue->bind($exchange->getName(), $key, $arguments);
        return $queue;
    }

    // --- remote procedure call ---
    /** Asks the service behind the queue and returns the answer. Direct reply-to needs no reply queue. */
    public static function call(AMQPChannel $channel, string $queue, string $question): string
    {
        $answers = self::queue($channel, 'amq.rabbitmq.reply-to');
        $answers->consume(null, AMQP_AUTOACK); // begins to consume, and does not wait
        (new AMQPExchange($channel))->publish($question, $queue, AMQP_NOPARAM, ['reply_to' => 'amq.rabbitmq.reply-to']);
        $answer = null;
        $answers->consume(function (AMQPEnvelope $message) use (&$answer) {
            $answer = $message->getBody();
            return false; // no more
        }, AMQP_JUST_CONSUME);
        $answers->cancel();
        return $answer;
    }

    /** Answers the questions that come to the queue, until none has come for the connection's read timeout. */
    public static function serve(AMQPQueue $queue, callable $answer): void
    {
        $queue->consume(function (AMQPEnvelope $question) use ($queue, $answer) {
            (new AMQPExchange($queue->getChannel()))->publish($answer($question->getBody()), $question->getReplyTo());
            $queue->ack($question->getDeliveryTag());
        });
    }

    // --- confirms ---
    /** On a channel with confirmSelect: true once the broker has the message safe, false when it refused it. */
    public static function publishSafely(AMQPChannel $channel, string $queue, string $body): bool
    {
        $isSafe = false;
        $channel->setConfirmCallback(function () use (&$isSafe) {
            $isSafe = true;
            return false; // wait no longer
        }, fn () => false);
        self::addWork($channel, $queue, $body);
        $channel->waitForConfirm(10);
        return $isSafe;
    }

    // --- connecting again ---
    /** Consumes from a durable queue, over as many connections as it takes, until $work returns false. */
    public static function consumeForever(string $url, string $name, callable $work): void
    {
        for (;; usleep(200_000)) {
            try {
                $queue = self::queue(new AMQPChannel(self::connect($url)), $name, AMQP_DURABLE);
                $queue->declareQueue();
                $queue->consume(function (AMQPEnvelope $message) use ($queue, $work) {
                    $goesOn = $work($message->getBody());
                    $queue->ack($message->getDeliveryTag());
                    return $goesOn;
                });
                return;
            } catch (AMQPException) { // a lost connection, or nothing to do for the read timeout: once more
            }
        }
    }
}
