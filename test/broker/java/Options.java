// SPDX-License-Identifier: Apache-2.0
import java.io.IOException;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.ClientConfig;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.RPCHook;
import org.apache.rocketmq.remoting.protocol.RemotingSerializable;

/** What the clients here share: `--name value` pairs, one JSON object per line on stdout, the end when stdin ends. */
final class Options {
    /** The client's own 3 s are too few for a busy machine with a JVM that has just started. */
    static final int LIMIT_MS = 60000;

    private static final int SHUTDOWN_LIMIT_MS = 20000;
    private static final CountDownLatch STDIN_ENDED = new CountDownLatch(1);

    private final Map<String, String> values = new HashMap<>();

    /** For main(): from here on the JVM ends when main() throws, whatever threads there are, and soon after stdin does. */
    Options(String[] args) {
        Thread.currentThread().setUncaughtExceptionHandler((thread, error) -> {
            error.printStackTrace();
            Runtime.getRuntime().halt(1);
        });
        Thread guard = new Thread(Options::readToTheEnd, "stdin-guard");
        guard.setDaemon(true);
        guard.start();
        for (int i = 0; i < args.length; i += 2) {
            if (!args[i].startsWith("--") || i + 1 == args.length) {
                throw new IllegalArgumentException("--name value pairs, not: " + args[i]);
            }
            values.put(args[i].substring(2), args[i + 1]);
        }
    }

    String get(String name) {
        String value = values.get(name);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + " is missing");
        }
        return value;
    }

    String get(String name, String otherwise) {
        return values.getOrDefault(name, otherwise);
    }

    int get(String name, int otherwise) {
        String value = values.get(name);
        return value == null ? otherwise : Integer.parseInt(value);
    }

    /** null: no ACL. */
    RPCHook credentials() {
        String key = values.get("access-key");
        return key == null ? null : new AclClientRPCHook(new SessionCredentials(key, get("secret-key")));
    }

    void configure(ClientConfig client) {
        client.setNamesrvAddr(get("namesrv"));
        client.setInstanceName("till-" + ProcessHandle.current().pid());
        client.setUseTLS(Boolean.parseBoolean(get("tls", "false")));
        client.setMqClientApiTimeout(LIMIT_MS);
        client.setPollNameServerInterval(1000);
        client.setHeartbeatBrokerInterval(1000);
    }

    static Map<String, Object> describe(MessageExt message) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("topic", message.getTopic());
        line.put("tags", message.getTags());
        line.put("keys", message.getKeys());
        line.put("msgId", message.getMsgId());
        line.put("transactionId", message.getTransactionId());
        line.put("queueId", message.getQueueId());
        line.put("queueOffset", message.getQueueOffset());
        line.put("commitLogOffset", message.getCommitLogOffset());
        line.put("preparedOffset", message.getPreparedTransactionOffset());
        line.put("sysFlag", message.getSysFlag());
        line.put("reconsumeTimes", message.getReconsumeTimes());
        line.put("bornTimestamp", message.getBornTimestamp());
        line.put("storeTimestamp", message.getStoreTimestamp());
        line.put("properties", message.getProperties());
        line.put("body", new String(message.getBody(), java.nio.charset.StandardCharsets.UTF_8));
        return line;
    }

    static synchronized void print(String event, Map<String, Object> fields) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("event", event);
        line.put("at", System.currentTimeMillis());
        line.putAll(fields);
        System.out.println(RemotingSerializable.toJson(line, false));
        System.out.flush();
    }

    static void waitForEndOfStdin() throws InterruptedException {
        STDIN_ENDED.await();
    }

    private static void readToTheEnd() {
        try {
            while (System.in.read() >= 0) {
                continue;
            }
        } catch (IOException e) {
            // the same end
        }
        STDIN_ENDED.countDown();
        try {
            Thread.sleep(SHUTDOWN_LIMIT_MS);
        } catch (InterruptedException e) {
            // at once, then
        }
        Runtime.getRuntime().halt(1);
    }
}
