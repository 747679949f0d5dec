// SPDX-License-Identifier: Apache-2.0
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * The official transaction producer: --namesrv A --topic T --group G [--count N] [--tag X] [--key K] [--body B]
 * [--local unknown|commit|rollback] [--check RULE] [--check-odd RULE] [--check-foreign RULE]. Sends N half messages with keys
 * K-0, K-1, ... (K itself when N is 1), answers them with --local, and stays for the checks until stdin ends. RULE is unknown,
 * commit, rollback, or commit:3 and rollback:3: unknown to the first two checks of a message, then that. --check-odd is for
 * K-1, K-3, ..., --check-foreign answers what this process did not send. Lines: {"event":"sent"}, {"event":"ready"},
 * {"event":"check","mine","answer",...}.
 */
final class TxProduce {
    private TxProduce() {
    }

    private static final class Rule {
        private final LocalTransactionState answer;
        private final int from;

        Rule(String text) {
            String[] parts = text.split(":");
            answer = state(parts[0]);
            from = parts.length > 1 ? Integer.parseInt(parts[1]) : 1;
        }

        LocalTransactionState at(int check) {
            return check >= from ? answer : LocalTransactionState.UNKNOW;
        }
    }

    private static LocalTransactionState state(String word) {
        switch (word) {
            case "commit":
                return LocalTransactionState.COMMIT_MESSAGE;
            case "rollback":
                return LocalTransactionState.ROLLBACK_MESSAGE;
            case "unknown":
                return LocalTransactionState.UNKNOW;
            default:
                throw new IllegalArgumentException("commit, rollback or unknown, not: " + word);
        }
    }

    private static final class Listener implements TransactionListener {
        private final Map<String, Rule> mine = new ConcurrentHashMap<>();
        private final LocalTransactionState local;
        private final Rule even;
        private final Rule odd;
        private final Rule foreign;

        Listener(Options options) {
            local = state(options.get("local", "unknown"));
            even = new Rule(options.get("check", "unknown"));
            odd = new Rule(options.get("check-odd", options.get("check", "unknown")));
            foreign = new Rule(options.get("check-foreign", "unknown"));
        }

        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
            mine.put(message.getTransactionId(), (Integer) argument % 2 == 0 ? even : odd);
            return local;
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            Rule own = mine.get(message.getTransactionId());
            String times = message.getProperty("TRANSACTION_CHECK_TIMES");
            LocalTransactionState answer = (own != null ? own : foreign).at(times == null ? 1 : Integer.parseInt(times));
            Map<String, Object> line = Options.describe(message);
            line.put("mine", own != null);
            line.put("checkTimes", times);
            line.put("answer", answer.name());
            Options.print("check", line);
            return answer;
        }
    }

    public static void main(String[] args) throws Exception {
        Options options = new Options(args);
        int count = options.get("count", 0);
        TransactionMQProducer producer = new TransactionMQProducer(options.get("group"), options.credentials());
        options.configure(producer);
        producer.setTransactionListener(new Listener(options));
        producer.setSendMsgTimeout(Options.LIMIT_MS);
        producer.start();
        // Without a route the client heartbeats no broker, and so is asked nothing: a member that sends nothing needs one.
        producer.getDefaultMQProducerImpl().getMqClientFactory()
            .updateTopicRouteInfoFromNameServer(options.get("topic"));
        producer.getDefaultMQProducerImpl().getMqClientFactory().sendHeartbeatToAllBrokerWithLock();
        for (int i = 0; i < count; i++) {
            send(producer, options, i, options.get("key", "k") + (count == 1 ? "" : "-" + i));
        }
        Options.print("ready", Map.of());
        Options.waitForEndOfStdin();
        producer.shutdown();
        System.exit(0);
    }

    private static void send(TransactionMQProducer producer, Options options, int i, String key) {
        byte[] body = options.get("body", "hello").getBytes(StandardCharsets.UTF_8);
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("key", key);
        try {
            Message message = new Message(options.get("topic"), options.get("tag", "t"), key, body);
            TransactionSendResult result = producer.sendMessageInTransaction(message, i);
            line.put("status", result.getSendStatus().name());
            line.put("msgId", result.getMsgId());
            line.put("transactionId", result.getTransactionId());
            line.put("offsetMsgId", result.getOffsetMsgId());
            line.put("queueOffset", result.getQueueOffset());
            line.put("local", result.getLocalTransactionState().name());
            Options.print("sent", line);
        } catch (Exception e) {
            line.put("error", String.valueOf(e.getMessage()));
            Options.print("failed", line);
        }
    }
}
