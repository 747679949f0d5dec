// SPDX-License-Identifier: Apache-2.0
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;

/**
 * The official producer: --namesrv A --topic T [--group G] [--count N] [--tag X] [--key K] [--body B] [--delay-ms D].
 * Sends N messages with keys K-0, K-1, ... (K itself when N is 1), a line {"event":"sent",...} each, and ends. A send that
 * fails gives {"event":"failed","error":...} and exit status 1.
 */
final class Produce {
    private Produce() {
    }

    public static void main(String[] args) throws Exception {
        Options options = new Options(args);
        int count = options.get("count", 1);
        DefaultMQProducer producer = new DefaultMQProducer(options.get("group", "java_producer"), options.credentials());
        options.configure(producer);
        producer.start();
        int status = 0;
        for (int i = 0; i < count && status == 0; i++) {
            status = send(producer, options, i, count);
        }
        producer.shutdown();
        System.exit(status);
    }

    private static int send(DefaultMQProducer producer, Options options, int i, int count) {
        String key = options.get("key", "k") + (count == 1 ? "" : "-" + i);
        byte[] body = options.get("body", "hello").getBytes(StandardCharsets.UTF_8);
        Message message = new Message(options.get("topic"), options.get("tag", "t"), key, body);
        int delayMs = options.get("delay-ms", 0);
        if (delayMs > 0) {
            message.setDelayTimeMs(delayMs);
        }
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("key", key);
        try {
            SendResult result = producer.send(message);
            line.put("status", result.getSendStatus().name());
            line.put("msgId", result.getMsgId());
            line.put("offsetMsgId", result.getOffsetMsgId());
            line.put("queueId", result.getMessageQueue().getQueueId());
            line.put("queueOffset", result.getQueueOffset());
            Options.print("sent", line);
            return 0;
        } catch (Exception e) {
            line.put("error", String.valueOf(e.getMessage()));
            Options.print("failed", line);
            return 1;
        }
    }
}
