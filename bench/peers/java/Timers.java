// SPDX-License-Identifier: Apache-2.0
import com.alibaba.fastjson2.JSONObject;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * RocketMQ's timer messages by its own client, over the line protocol of js/client.js. `count` is null: the broker has no
 * figure of what waits.
 */
final class Timers {
    private static final int THREADS = 64;
    private static final int LIMIT_MS = 60000;
    private static final int PAYLOAD_BYTES = 64;
    private static final String TOPIC = "orders";

    private final String servers;
    private final DefaultMQProducer producer = new DefaultMQProducer("timers_out");
    private DefaultMQPushConsumer consumer;
    private volatile String run = "";
    private BitSet seen;
    private List<Long> arrived;
    private int doubled;
    private CountDownLatch complete;

    private Timers(String servers) throws Exception {
        this.servers = servers;
        producer.setNamesrvAddr(servers);
        producer.setSendMsgTimeout(LIMIT_MS);
        producer.start();
    }

    private static String payload(String run, int i) {
        StringBuilder text = new StringBuilder(run + ":" + i + ":");
        while (text.length() < PAYLOAD_BYTES) {
            text.append('-');
        }
        return text.toString();
    }

    private void sendOne(String run, int i, long dueMs) throws Exception {
        Message message = new Message(TOPIC, payload(run, i).getBytes(StandardCharsets.UTF_8));
        message.setDeliverTimeMs(dueMs);
        SendResult result = producer.send(message);
        if (result.getSendStatus() != SendStatus.SEND_OK) {
            throw new IllegalStateException(result.getSendStatus().name());
        }
    }

    private Object schedule(String run, int n, long dueMs) throws Exception {
        long from = System.nanoTime();
        AtomicInteger next = new AtomicInteger();
        AtomicReference<Exception> failed = new AtomicReference<>();
        List<Thread> threads = new ArrayList<>();
        for (int t = 0; t < THREADS; t++) {
            Thread thread = new Thread(() -> {
                try {
                    for (int i = next.getAndIncrement(); i < n && failed.get() == null; i = next.getAndIncrement()) {
                        sendOne(run, i, dueMs);
                    }
                } catch (Exception e) {
                    failed.set(e);
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        if (failed.get() != null) {
            throw failed.get();
        }
        return Map.of("seconds", (System.nanoTime() - from) / 1e9);
    }

    private synchronized void saw(String text) {
        String[] words = text.split(":", 3);
        if (!words[0].equals(run)) {
            return;
        }
        int i = Integer.parseInt(words[1]);
        if (seen.get(i)) {
            doubled++;
            return;
        }
        seen.set(i);
        arrived.add(System.currentTimeMillis());
        complete.countDown();
    }

    private Object subscribe(String run, int n) throws Exception {
        synchronized (this) {
            this.run = run;
            seen = new BitSet(n);
            arrived = new ArrayList<>(n);
            doubled = 0;
            complete = new CountDownLatch(n);
        }
        consumer = new DefaultMQPushConsumer("timers_in_" + run);
        consumer.setNamesrvAddr(servers);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeMessageBatchMaxSize(32);
        consumer.setConsumeThreadMin(8);
        consumer.setConsumeThreadMax(8);
        consumer.subscribe(TOPIC, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                saw(new String(message.getBody(), StandardCharsets.UTF_8));
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return null;
    }

    private Object collect(double limitS) throws Exception {
        complete.await((long) (limitS * 1000), TimeUnit.MILLISECONDS);
        synchronized (this) {
            return Map.of("arrived_ms", new ArrayList<>(arrived), "doubled", doubled, "strange", 0);
        }
    }

    private Object answer(JSONObject o) throws Exception {
        switch (o.getString("op")) {
            case "schedule":
                return schedule(o.getString("run"), o.getIntValue("n"), o.getLongValue("due_ms"));
            case "subscribe":
                return subscribe(o.getString("run"), o.getIntValue("n"));
            case "collect":
                return collect(o.getDoubleValue("limit_s"));
            case "close":
                consumer.shutdown();
                return null;
            default: // open, count
                return null;
        }
    }

    public static void main(String[] args) throws Exception {
        Timers timers = new Timers(args[0]);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JSONObject out = new JSONObject();
            try {
                Object ok = timers.answer(JSONObject.parseObject(line));
                out.put("ok", ok == null ? Boolean.TRUE : ok);
            } catch (Exception e) {
                out.put("error", String.valueOf(e));
            }
            System.out.println(out.toJSONString());
        }
        Runtime.getRuntime().halt(0);
    }
}
