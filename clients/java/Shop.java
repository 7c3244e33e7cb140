import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.MessageProperties;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** The patterns of messaging with RabbitMQ's client for Java, as an online shop uses them. Copy what you need. */
final class Shop {
    interface Handler {
        void handle(byte[] body) throws Exception;
    }

    interface Answer {
        byte[] to(byte[] question);
    }

    private static final String DIRECT_REPLY_TO = "amq.rabbitmq.reply-to";

    private Shop() {}

    static Connection connect(String url) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(url);
        factory.setNetworkRecoveryInterval(200); // milliseconds: it connects again by itself
        return factory.newConnection();
    }

    // --- work queue ---

    static void addWork(Channel channel, String queue, byte[] body) throws IOException {
        channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, body);
    }

    /** Handles messages as they come; what the handler refuses goes back to the queue once. Returns the consumer tag. */
    static String doWork(Channel channel, String queue, int prefetch, Handler handler) throws IOException {
        channel.basicQos(prefetch);
        return channel.basicConsume(queue, false, (tag, delivery) -> {
            long deliveryTag = delivery.getEnvelope().getDeliveryTag();
            try {
                handler.handle(delivery.getBody());
                channel.basicAck(deliveryTag, false);
            } catch (Exception refusal) {
                channel.basicReject(deliveryTag, !delivery.getEnvelope().isRedeliver());
            }
        }, tag -> {});
    }

    // --- publish and subscribe ---

    /** A queue for this subscriber alone, gone with its connection. Returns its name. */
    static String subscribe(Channel channel, String exchange, String type, String key, Map<String, Object> arguments) throws IOException {
        channel.exchangeDeclare(exchange, type, false, true, null);
        String queue = channel.queueDeclare().getQueue();
        channel.queueBind(queue, exchange, key, arguments);
        return queue;
    }

    /** What lies in the queue now. For tests and tools; services consume. */
    static List<String> all(Channel channel, String queue) throws IOException {
        List<String> bodies = new ArrayList<>();
        for (GetResponse got = channel.basicGet(queue, true); got != null; got = channel.basicGet(queue, true)) {
            bodies.add(new String(got.getBody(), "UTF-8"));
        }
        return bodies;
    }

    // --- remote procedure call ---

    /** Asks the service behind the queue and returns the answer. Direct reply-to needs no reply queue. */
    static byte[] call(Connection connection, String queue, byte[] question) throws Exception {
        try (Channel channel = connection.createChannel()) {
            BlockingQueue<byte[]> answers = new LinkedBlockingQueue<>();
            channel.basicConsume(DIRECT_REPLY_TO, true, (tag, delivery) -> answers.add(delivery.getBody()), tag -> {});
            BasicProperties properties = new BasicProperties.Builder().replyTo(DIRECT_REPLY_TO).build();
            channel.basicPublish("", queue, true, properties, question);
            byte[] answer = answers.poll(5, TimeUnit.SECONDS);
            if (answer == null) throw new IOException("no answer");
            return answer;
        }
    }

    /** Answers every question that comes to the queue. */
    static void serve(Channel channel, String queue, Answer answer) throws IOException {
        channel.basicConsume(queue, false, (tag, question) -> {
            channel.basicPublish("", question.getProperties().getReplyTo(), null, answer.to(question.getBody()));
            channel.basicAck(question.getEnvelope().getDeliveryTag(), false);
        }, tag -> {});
    }

    // --- confirms ---

    /** On a channel in confirm mode: true once the broker has the message safe, false when it refused it. */
    static boolean publishSafely(Channel channel, String queue, byte[] body) throws Exception {
        addWork(channel, queue, body);
        return channel.waitForConfirms(10_000);
    }
}
