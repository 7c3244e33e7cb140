# The patterns of messaging with AnyEvent::RabbitMQ, as an online shop uses them. Copy what you need; `run` calls and
# checks them. `done` waits for one answer of the broker; handlers run while anything waits.
package Shop;
use v5.36;
use AnyEvent;
use AnyEvent::RabbitMQ;
use Net::AMQP::Common;
use PadWalker 'closed_over';

# Net::AMQP knows no 64-bit numbers, but the broker counts so in x-death, the header of dead letters.
my $readers = closed_over(\&Net::AMQP::Common::unpack_field_table)->{'%_unpack_field_types'};
$readers->{l} //= \&Net::AMQP::Common::unpack_long_long_integer;

# Calls a method of a connection or channel and waits for its outcome: returns it, or dies.
sub done ($object, $method, %arguments) {
    my $outcome = AE::cv;
    $object->$method(%arguments, on_success => $outcome, on_failure => sub { $outcome->croak("$method: " . why(@_)) });
    return $outcome->recv;
}

# The reason, from what a callback of this library is given: a frame, a text, or a handle, a flag and a text.
sub why (@given) {
    my $reason = $given[-1];
    return $reason unless ref $reason && $reason->isa('Net::AMQP::Frame::Method');
    return join ' ', map { $_ // '' } $reason->method_frame->reply_code, $reason->method_frame->reply_text;
}

sub unescaped ($text) { $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger }

sub address ($url) {
    my ($user, $password, $host, $port, $vhost) = $url =~ m{^amqp://(?:([^:@]*):([^@]*)@)?([^:/]+)(?::(\d+))?(?:/(.*))?$}
        or die "not an address: $url";
    return (
        timeout => 10,
        host => $host, port => $port // 5672, vhost => length($vhost // '') ? unescaped($vhost) : '/',
        user => unescaped($user // 'guest'), pass => unescaped($password // 'guest'),
    );
}

# A refusal on the way (no such vhost) comes as on_close, not as on_failure.
sub connect ($url, %options) {
    my $outcome = AE::cv;
    my $on_close = delete $options{on_close} // sub { };
    my $connection = AnyEvent::RabbitMQ->new->load_xml_spec;
    $connection->connect(
        address($url), %options,
        on_success => $outcome,
        on_failure => sub { $outcome->croak('connect: ' . why(@_)) },
        on_close => sub { $outcome->ready ? $on_close->(@_) : $outcome->croak('refused: ' . why(@_)) },
    );
    $outcome->recv;
    $connection->{_handle}->no_delay(1); # or each message waits 40 ms for the one before; the option `nodelay` does nothing
    return $connection;
}

# --- work queue ---
sub add_work ($channel, $queue, $body, %more) {
    $channel->publish(routing_key => $queue, body => $body, header => { delivery_mode => 2 }, %more);
}

# Handles messages as they come; what $work refuses by dying goes back to the queue once. Returns the consumer's tag.
sub do_work ($channel, $queue, $prefetch, $work) {
    done($channel, 'qos', prefetch_count => $prefetch);
    my $handle = sub ($message) {
        my $delivery = $message->{deliver}->method_frame;
        if (eval { $work->($message->{body} ? $message->{body}->payload : ''); 1 }) {
            $channel->ack(delivery_tag => $delivery->delivery_tag);
        } else {
            $channel->reject(delivery_tag => $delivery->delivery_tag, requeue => $delivery->redelivered ? 0 : 1);
        }
    };
    return done($channel, 'consume', queue => $queue, no_ack => 0, on_consume => $handle)->method_frame->consumer_tag;
}

# --- publish and subscribe ---
# A queue for this subscriber alone, gone with its connection. Returns its name.
sub subscribe ($channel, $exchange, $type, $key = '', $arguments = {}) {
    done($channel, 'declare_exchange', exchange => $exchange, type => $type, auto_delete => 1);
    my $queue = done($channel, 'declare_queue', exclusive => 1)->method_frame->queue;
    done($channel, 'bind_queue', queue => $queue, exchange => $exchange, routing_key => $key, arguments => $arguments);
    return $queue;
}

# --- remote procedure call ---
# Asks the service behind the queue and returns the answer. Direct reply-to needs no reply queue.
sub ask ($channel, $queue, $question) {
    my $answer = AE::cv;
    my $take = sub ($message) { $answer->send($message->{body}->payload) };
    my $consumer = done($channel, 'consume', queue => 'amq.rabbitmq.reply-to', on_consume => $take)->method_frame->consumer_tag;
    $channel->publish(routing_key => $queue, body => $question, header => { reply_to => 'amq.rabbitmq.reply-to' });
    my $text = $answer->recv;
    done($channel, 'cancel', consumer_tag => $consumer);
    return $text;
}

# Answers the questions that come to the queue.
sub serve ($channel, $queue, $answer) {
    done($channel, 'consume', queue => $queue, on_consume => sub ($question) {
        $channel->publish(routing_key => $question->{header}->reply_to, body => $answer->($question->{body}->payload));
    });
}

# --- confirms ---
# On a channel with `confirm`: true once the broker has the message safe, false when it refused it.
sub publish_safely ($channel, $queue, $body) {
    my $outcome = AE::cv;
    add_work($channel, $queue, $body, on_ack => sub { $outcome->send(1) }, on_nack => sub { $outcome->send(0) });
    return $outcome->recv;
}

# --- connecting again ---
# Consumes from a durable queue, over as many connections as it takes, for as long as what it returns is kept.
sub keep_consuming ($url, $queue, $work) {
    my $life = {};
    my $start = sub ($again) {
        my $later = sub { $life->{timer} = AE::timer(0.2, 0, sub { $again->($again) }) };
        $life->{connection} = AnyEvent::RabbitMQ->new->load_xml_spec->connect(
            address($url), on_failure => $later, on_close => $later, on_read_failure => sub { },
            on_success => sub ($connection) {
                $connection->open_channel(on_failure => sub { }, on_success => sub ($channel) {
                    $life->{channel} = $channel;
                    $channel->declare_queue(queue => $queue, durable => 1, on_failure => sub { }, on_success => sub {
                        $channel->consume(queue => $queue, no_ack => 0, on_failure => sub { }, on_consume => sub ($message) {
                            $work->($message->{body}->payload);
                            $channel->ack(delivery_tag => $message->{deliver}->method_frame->delivery_tag);
                        });
                    });
                });
            },
        );
    };
    $start->($start);
    return $life;
}

1;
