import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AlreadyClosedException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.ConfirmListener;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.Method;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

/** Checks RabbitMQ's client for Java against the broker at LEVERET_URL: what its users do, and what must come of it. */
final class Main {
    private static final String URL = System.getenv().getOrDefault("LEVERET_URL", "amqp://guest:guest@127.0.0.1:5672");
    private static final String PREFIX = "java-" + ProcessHandle.current().pid();

    private Connection connection;

    public static void main(String[] arguments) throws Exception {
        Main p = new Main();
        p.connection = Shop.connect(URL);
        Checks checks = new Checks();
        checks.check("work queue: acks, prefetch, work that fails comes again", p::workQueue);
        checks.check("publish/subscribe: every subscriber gets a copy", p::publishSubscribe);
        checks.check("topic routing: * and #", p::topics);
        checks.check("headers routing: all and any", p::headers);
        checks.check("RPC with direct reply-to", p::rpc);
        checks.check("confirms: each publish waits for its own", p::confirmSingle);
        checks.check("confirms: 500 outstanding", p::confirmMany);
        checks.check("confirms: nack by reject-publish", p::rejectPublish);
        checks.check("mandatory message without a queue comes back", p::mandatory);
        checks.check("get: message, count of the rest, empty", p::get);
        checks.check("TTL and dead letter: expired message moves on", p::deadLetter);
        checks.check("priorities: urgent messages first", p::priorities);
        checks.check("transactions: commit and rollback", p::transactions);
        checks.check("channel error 406 on redeclare, the connection lives on", p::channelError);
        checks.check("connection error 540 on a prefetch size", p::connectionError);
        checks.check("unknown vhost is refused", p::unknownVhost);
        checks.check("body of 5 MB", p::largeBody);
        checks.check("every header type comes back unchanged", p::headerTypes);
        checks.check("every property comes back unchanged", p::properties);
        checks.check("unicode names", p::unicodeNames);
        checks.check("ten threads publish on channels of one connection", p::threads);
        checks.check("consumer is told when its queue is deleted", p::cancelled);
        checks.check("heartbeats keep an idle connection", p::heartbeats);
        checks.check("restart: durable things and messages are still there", p::restart);
        checks.check("restart: connection, channel and consumer recover by themselves", p::recovery);
        checks.finish();
    }

    private Channel channel() throws IOException {
        return connection.createChannel();
    }

    private static String name(String what) {
        return PREFIX + "." + what;
    }

    private static String durableQueue(Channel channel, String what) throws IOException {
        return channel.queueDeclare(name(what), true, false, false, null).getQueue();
    }

    private static String ownQueue(Channel channel, Map<String, Object> arguments) throws IOException {
        return channel.queueDeclare("", false, true, true, arguments).getQueue();
    }

    private static byte[] bytes(Object text) {
        return String.valueOf(text).getBytes(java.nio.charset.StandardCharsets.UTF_8);
    }

    private static BlockingQueue<Delivery> consume(Channel channel, String queue, boolean autoAck) throws IOException {
        BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
        channel.basicConsume(queue, autoAck, (tag, delivery) -> deliveries.add(delivery), tag -> {});
        return deliveries;
    }

    private static Delivery next(BlockingQueue<Delivery> deliveries) throws InterruptedException {
        Delivery delivery = deliveries.poll(5, TimeUnit.SECONDS);
        if (delivery == null) throw new AssertionError("nothing came");
        return delivery;
    }

    private void workQueue() throws Exception {
        Channel channel = channel();
        String queue = durableQueue(channel, "work");
        for (int i = 0; i < 20; i++) Shop.addWork(channel, queue, bytes(i));
        BlockingQueue<Integer> done = new LinkedBlockingQueue<>();
        AtomicBoolean hasRefused = new AtomicBoolean();
        String tag = Shop.doWork(channel, queue, 3, body -> {
            int n = Integer.parseInt(new String(body));
            if (n == 7 && hasRefused.compareAndSet(false, true)) throw new IllegalStateException("not today");
            done.add(n);
        });
        List<Integer> sorted = new ArrayList<>();
        for (int i = 0; i < 20; i++) sorted.add(done.poll(5, TimeUnit.SECONDS));
        Collections.sort(sorted);
        Checks.equal(sorted.get(19), 19, "the last");
        Checks.equal(hasRefused.get(), true, "refused");
        channel.basicCancel(tag);
        for (int i = 0; i < 5; i++) Shop.addWork(channel, queue, new byte[0]);
        Channel second = channel();
        second.basicQos(2);
        BlockingQueue<Delivery> deliveries = consume(second, queue, false);
        next(deliveries);
        Delivery last = next(deliveries);
        Checks.equal(deliveries.poll(300, TimeUnit.MILLISECONDS), null, "a third message with prefetch 2");
        second.basicAck(last.getEnvelope().getDeliveryTag(), true);
        next(deliveries);
        second.close();
        channel.queueDelete(queue);
    }

    private void publishSubscribe() throws Exception {
        Channel channel = channel();
        List<String> queues = new ArrayList<>();
        for (int i = 0; i < 3; i++) queues.add(Shop.subscribe(channel, name("news"), "fanout", "", null));
        channel.basicPublish(name("news"), "ignored", null, bytes("spring"));
        for (String queue : queues) Checks.equal(Shop.all(channel, queue), List.of("spring"), "messages of a subscriber");
    }

    private void topics() throws Exception {
        Channel channel = channel();
        Map<String, List<String>> expected = new LinkedHashMap<>();
        expected.put("*.error", List.of("mail.error", "web.error"));
        expected.put("mail.#", List.of("mail.error", "mail.info.today"));
        expected.put("#", List.of("mail.error", "mail.info.today", "web.error", "error"));
        Map<String, String> queues = new HashMap<>();
        for (String key : expected.keySet()) queues.put(key, Shop.subscribe(channel, name("topics"), "topic", key, null));
        for (String key : expected.get("#")) channel.basicPublish(name("topics"), key, null, bytes(key));
        for (String key : expected.keySet()) Checks.equal(Shop.all(channel, queues.get(key)), expected.get(key), "messages for " + key);
    }

    private void headers() throws Exception {
        Channel channel = channel();
        String both = Shop.subscribe(channel, name("headers"), "headers", "", Map.of("kind", "hare", "legs", 4, "x-match", "all"));
        String either = Shop.subscribe(channel, name("headers"), "headers", "", Map.of("kind", "hare", "legs", 4, "x-match", "any"));
        List<Map<String, Object>> sent = List.of(Map.of("kind", "hare", "legs", 4L), Map.of("kind", "hare"), Map.of("kind", "fox", "legs", 3));
        for (int i = 0; i < sent.size(); i++) {
            channel.basicPublish(name("headers"), "", new AMQP.BasicProperties.Builder().headers(sent.get(i)).build(), bytes(i));
        }
        Checks.equal(Shop.all(channel, both), List.of("0"), "all");
        Checks.equal(Shop.all(channel, either), List.of("0", "1"), "any");
    }

    private void rpc() throws Exception {
        Channel channel = channel();
        String queue = ownQueue(channel, null);
        Shop.serve(channel, queue, question -> bytes(new String(question).toUpperCase()));
        for (int i = 0; i < 20; i++) Checks.equal(new String(Shop.call(connection, queue, bytes("hare " + i))), "HARE " + i, "answer");
    }

    private void confirmSingle() throws Exception {
        Channel channel = channel();
        String queue = durableQueue(channel, "confirmed");
        channel.confirmSelect();
        for (int i = 0; i < 50; i++) Checks.equal(Shop.publishSafely(channel, queue, bytes(i)), true, "confirmed");
        Checks.equal(channel.queueDelete(queue).getMessageCount(), 50, "messages");
    }

    private void confirmMany() throws Exception {
        Channel channel = channel();
        String queue = durableQueue(channel, "confirmed");
        channel.confirmSelect();
        CountDownLatch left = new CountDownLatch(500);
        channel.addConfirmListener(new ConfirmListener() {
            private long answered;

            @Override
            public void handleAck(long tag, boolean multiple) {
                for (long n = multiple ? tag - answered : 1; n > 0; n--, answered++) left.countDown();
            }

            @Override
            public void handleNack(long tag, boolean multiple) {}
        });
        for (int i = 0; i < 500; i++) Shop.addWork(channel, queue, bytes(i));
        Checks.equal(left.await(10, TimeUnit.SECONDS), true, "all are confirmed");
        Checks.equal(channel.queueDelete(queue).getMessageCount(), 500, "messages");
    }

    private void rejectPublish() throws Exception {
        Channel channel = channel();
        String queue = ownQueue(channel, Map.of("x-max-length", 1, "x-overflow", "reject-publish"));
        channel.confirmSelect();
        Checks.equal(Shop.publishSafely(channel, queue, bytes("fits")), true, "first");
        Checks.equal(Shop.publishSafely(channel, queue, bytes("too much")), false, "second");
        Checks.equal(Shop.all(channel, queue), List.of("fits"), "messages");
        Checks.equal(Shop.publishSafely(channel, queue, bytes("fits again")), true, "after it was emptied");
    }

    private void mandatory() throws Exception {
        Channel channel = channel();
        BlockingQueue<List<Object>> returned = new LinkedBlockingQueue<>();
        channel.addReturnListener((code, text, exchange, key, properties, body) -> returned.add(List.of(code, text, key, new String(body))));
        channel.basicPublish("", name("nobody"), true, null, bytes("hello"));
        Checks.equal(returned.poll(5, TimeUnit.SECONDS), List.of(312, "NO_ROUTE", name("nobody"), "hello"), "return");
    }

    private void get() throws Exception {
        Channel channel = channel();
        String queue = ownQueue(channel, null);
        for (String body : List.of("one", "two")) channel.basicPublish("", queue, null, bytes(body));
        for (boolean redelivered : new boolean[] {false, true}) {
            GetResponse got = channel.basicGet(queue, false);
            Checks.equal(List.of(new String(got.getBody()), got.getMessageCount(), got.getEnvelope().isRedeliver()), List.of("one", 1, redelivered), "get");
            channel.basicNack(got.getEnvelope().getDeliveryTag(), false, !redelivered);
        }
        Checks.equal(Shop.all(channel, queue), List.of("two"), "the rest");
    }

    private void deadLetter() throws Exception {
        Channel channel = channel();
        String dead = ownQueue(channel, null);
        String queue = ownQueue(channel, Map.of("x-message-ttl", 100, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead));
        channel.basicPublish("", queue, null, bytes("too late"));
        Delivery letter = next(consume(channel, dead, true));
        Map<?, ?> death = (Map<?, ?>) ((List<?>) letter.getProperties().getHeaders().get("x-death")).get(0);
        Checks.equal(new String(letter.getBody()), "too late", "dead letter");
        Checks.equal(List.of(death.get("queue").toString(), death.get("reason").toString(), death.get("count")), List.of(queue, "expired", 1L), "x-death");
    }

    private void priorities() throws Exception {
        Channel channel = channel();
        String queue = ownQueue(channel, Map.of("x-max-priority", 5));
        int[] priorities = {0, 5, 1, 5, 9};
        for (int i = 0; i < priorities.length; i++) {
            channel.basicPublish("", queue, new AMQP.BasicProperties.Builder().priority(priorities[i]).build(), bytes(i));
        }
        Checks.equal(Shop.all(channel, queue), List.of("1", "3", "4", "2", "0"), "order");
    }

    private void transactions() throws Exception {
        Channel channel = channel();
        String queue = ownQueue(channel, null);
        channel.txSelect();
        channel.basicPublish("", queue, null, bytes("kept"));
        channel.txCommit();
        channel.basicPublish("", queue, null, bytes("never"));
        channel.txRollback();
        Checks.equal(Shop.all(channel(), queue), List.of("kept"), "messages");
    }

    /** The method that closed it. */
    private static Method reasonOf(Throwable error) {
        Throwable cause = error instanceof ShutdownSignalException ? error : error.getCause();
        return ((ShutdownSignalException) cause).getReason();
    }

    private void channelError() throws Exception {
        Channel channel = channel();
        String queue = name("strict");
        channel.queueDeclare(queue, false, true, true, null);
        try {
            channel.queueDeclare(queue, false, true, false, null);
            throw new AssertionError("not refused");
        } catch (IOException refusal) {
            AMQP.Channel.Close reason = (AMQP.Channel.Close) reasonOf(refusal);
            String text = "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue '" + queue + "' in vhost '/'";
            Checks.equal(reason.getReplyCode(), 406, "code");
            Checks.equal(reason.getReplyText().substring(0, text.length()), text, "text");
        }
        Checks.equal(connection.isOpen(), true, "the connection is open");
        channel().queueDeclarePassive(queue);
    }

    /** A prefetch count in bytes is part of the protocol, but no broker has it. */
    private void connectionError() throws Exception {
        Connection other = Shop.connect(URL);
        try {
            other.createChannel().basicQos(10, 0, false);
            throw new AssertionError("not refused");
        } catch (IOException | AlreadyClosedException refusal) {
            AMQP.Connection.Close reason = (AMQP.Connection.Close) reasonOf(refusal);
            Checks.equal(reason.getReplyCode() + " " + reason.getReplyText(), "540 NOT_IMPLEMENTED - prefetch_size!=0 (10)", "reply");
        } finally {
            other.abort();
        }
    }

    private void unknownVhost() throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(URL);
        factory.setVirtualHost("no such vhost");
        try {
            factory.newConnection().abort();
        } catch (IOException refusal) {
            return;
        }
        throw new AssertionError("it was opened");
    }

    private GetResponse roundTrip(AMQP.BasicProperties properties, byte[] body) throws Exception {
        try (Channel channel = channel()) {
            String queue = ownQueue(channel, null);
            channel.basicPublish("", queue, properties, body);
            return channel.basicGet(queue, true);
        }
    }

    private void largeBody() throws Exception {
        byte[] body = new byte[5_000_000];
        for (int i = 0; i < body.length; i++) body[i] = (byte) (i * 7);
        Checks.equal(Arrays.equals(roundTrip(null, body).getBody(), body), true, "same body");
    }

    private void headerTypes() throws Exception {
        Map<String, Object> sent = new LinkedHashMap<>();
        sent.put("string", "Hasenpfote 野兎");
        sent.put("bytes", new byte[] {0, -1});
        sent.put("true", true);
        sent.put("byte", (byte) -100);
        sent.put("short", (short) -300);
        sent.put("int", Integer.MIN_VALUE);
        sent.put("long", Long.MAX_VALUE);
        sent.put("float", 1.5f);
        sent.put("double", Math.PI);
        sent.put("decimal", new BigDecimal("12.34"));
        sent.put("time", new Date(2_147_483_648_000L));
        sent.put("none", null);
        sent.put("list", List.of(1, 2L, List.of(3), Map.of("four", 4)));
        sent.put("table", Map.of("nested", Map.of("deep", true)));
        Map<String, Object> came = roundTrip(new AMQP.BasicProperties.Builder().headers(sent).build(), bytes("")).getProps().getHeaders();
        for (String key : sent.keySet()) {
            Object value = came.get(key);
            Checks.equal(value instanceof LongString ? value.toString() : value, sent.get(key), "header " + key);
        }
        Checks.equal(came.size(), sent.size(), "count");
    }

    private void properties() throws Exception {
        AMQP.BasicProperties sent = new AMQP.BasicProperties.Builder()
            .contentType("text/plain").contentEncoding("utf-8").deliveryMode(2).priority(3).correlationId("c").replyTo("answers")
            .expiration("60000").messageId("m").timestamp(new Date(1_700_000_000_000L)).type("hare").userId("guest").appId("shop").clusterId("x").build();
        Checks.equal(roundTrip(sent, bytes("x")).getProps().toString(), sent.toString(), "properties");
    }

    private void unicodeNames() throws Exception {
        Channel channel = channel();
        String queue = name("Häschen-野兎-🐇");
        String exchange = name("Börse");
        channel.queueDeclare(queue, false, true, true, null);
        channel.exchangeDeclare(exchange, "topic", false, true, null);
        channel.queueBind(queue, exchange, "Gras.*");
        channel.basicPublish(exchange, "Gras.grün", null, bytes("🐇"));
        GetResponse got = channel.basicGet(queue, true);
        Checks.equal(got.getEnvelope().getExchange() + got.getEnvelope().getRoutingKey(), exchange + "Gras.grün", "names");
    }

    private void threads() throws Exception {
        Channel channel = channel();
        String queue = durableQueue(channel, "crowd");
        ExecutorService threads = Executors.newFixedThreadPool(10);
        List<Future<Boolean>> outcomes = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            outcomes.add(threads.submit(() -> {
                try (Channel own = channel()) {
                    own.confirmSelect();
                    for (int n = 0; n < 100; n++) Shop.addWork(own, queue, bytes(n));
                    return own.waitForConfirms(20_000);
                }
            }));
        }
        for (Future<Boolean> outcome : outcomes) Checks.equal(outcome.get(), true, "confirmed");
        threads.shutdown();
        Checks.equal(channel.queueDelete(queue).getMessageCount(), 1000, "messages");
    }

    private void cancelled() throws Exception {
        Channel channel = channel();
        String queue = ownQueue(channel, null);
        BlockingQueue<String> cancelled = new LinkedBlockingQueue<>();
        channel.basicConsume(queue, true, "reader", (tag, delivery) -> {}, cancelled::add);
        channel().queueDelete(queue);
        Checks.equal(cancelled.poll(5, TimeUnit.SECONDS), "reader", "consumer");
    }

    private void heartbeats() throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(URL);
        factory.setRequestedHeartbeat(1);
        Connection idle = factory.newConnection();
        TimeUnit.SECONDS.sleep(4);
        idle.createChannel().close();
        idle.close();
    }

    private void restart() throws Exception {
        Checks.needRestart();
        Channel channel = channel();
        String queue = durableQueue(channel, "durable");
        String exchange = name("durable exchange");
        channel.exchangeDeclare(exchange, "direct", true);
        channel.queueBind(queue, exchange, "key");
        channel.confirmSelect();
        for (int i = 0; i < 100; i++) Checks.equal(Shop.publishSafely(channel, queue, bytes(i)), true, "confirmed");
        channel.basicGet(queue, false); // in hand and not acknowledged: it comes again
        connection.close();
        connection = null;
        try {
            Checks.restartBroker();
        } finally {
            connection = Shop.connect(URL);
        }
        channel = channel();
        channel.basicPublish(exchange, "key", null, bytes(100));
        List<String> bodies = Shop.all(channel, queue);
        for (int i = 0; i <= 100; i++) Checks.equal(bodies.get(i), String.valueOf(i), "message");
        channel.exchangeDelete(exchange);
        channel.queueDelete(queue);
    }

    private void recovery() throws Exception {
        Checks.needRestart();
        Connection recovering = Shop.connect(URL);
        CountDownLatch hasRecovered = new CountDownLatch(1);
        ((Recoverable) recovering).addRecoveryListener(new RecoveryListener() {
            @Override
            public void handleRecovery(Recoverable recoverable) {
                hasRecovered.countDown();
            }

            @Override
            public void handleRecoveryStarted(Recoverable recoverable) {}
        });
        Channel channel = recovering.createChannel();
        String queue = durableQueue(channel, "recovering");
        BlockingQueue<Delivery> deliveries = consume(channel, queue, true);
        Shop.addWork(channel, queue, bytes("first"));
        Checks.equal(new String(next(deliveries).getBody()), "first", "message");
        try {
            Checks.restartBroker();
            Checks.equal(hasRecovered.await(20, TimeUnit.SECONDS), true, "recovered");
            Shop.addWork(channel, queue, bytes("last"));
            Checks.equal(new String(next(deliveries).getBody()), "last", "message after the restart");
        } finally {
            channel.queueDelete(queue);
            recovering.close();
        }
    }
}
