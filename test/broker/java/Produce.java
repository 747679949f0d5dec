// SPDX-License-Identifier: Apache-2.0
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;

/**
 * The official producer: --namesrv A --topic T [--group G] [--count N] [--tag X] [--key K] [--body B] [--delay-ms D].
 * Sends N messages with keys K-0, K-1, ... (K itself when N is 1), a line {"event":"sent",...} each, and ends. With --file F
 * it sends what stands there instead: a message a line, tag, key and body apart by tabs. A send that fails gives
 * {"event":"failed","error":...} and exit status 1.
 */
final class Produce {
    private Produce() {
    }

    public static void main(String[] args) throws Exception {
        Options options = new Options(args);
        DefaultMQProducer producer = new DefaultMQProducer(options.get("group", "java_producer"), options.credentials());
        options.configure(producer);
        producer.setSendMsgTimeout(Options.LIMIT_MS);
        producer.start();
        int status = 0;
        for (String[] m : messages(options)) {
            status = status != 0 ? status : send(producer, options, m[0], m[1], m[2]);
        }
        producer.shutdown();
        System.exit(status);
    }

    /** Tag, key and body of each. */
    private static String[][] messages(Options options) throws IOException {
        String file = options.get("file", null);
        if (file != null) {
            return Files.readAllLines(Paths.get(file)).stream().map(line -> line.split("\t", 3)).toArray(String[][]::new);
        }
        String[][] all = new String[options.get("count", 1)][];
        for (int i = 0; i < all.length; i++) {
            String key = options.get("key", "k") + (all.length == 1 ? "" : "-" + i);
            all[i] = new String[] {options.get("tag", "t"), key, options.get("body", "hello")};
        }
        return all;
    }

    private static int send(DefaultMQProducer producer, Options options, String tag, String key, String body) {
        Message message = new Message(options.get("topic"), tag, key, body.getBytes(StandardCharsets.UTF_8));
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
