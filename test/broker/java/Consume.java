// SPDX-License-Identifier: Apache-2.0
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * The official push consumer: --namesrv A --topic T --group G [--tags "a || b"] [--fail-times N] [--delay-level L]
 * [--threads N]. Prints {"event":"ready"}, then {"event":"message",...} for each message. A message whose reconsumeTimes is
 * below --fail-times is given back, to come again after delay level --delay-level.
 */
final class Consume {
    private Consume() {
    }

    public static void main(String[] args) throws Exception {
        Options options = new Options(args);
        int failTimes = options.get("fail-times", 0);
        int delayLevel = options.get("delay-level", 1);
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(options.get("group"), options.credentials());
        options.configure(consumer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(options.get("threads", 4));
        consumer.setConsumeThreadMax(options.get("threads", 4));
        consumer.subscribe(options.get("topic"), options.get("tags", "*"));
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            boolean again = false;
            for (MessageExt message : messages) {
                Options.print("message", Options.describe(message));
                again = again || message.getReconsumeTimes() < failTimes;
            }
            context.setDelayLevelWhenNextConsume(delayLevel);
            return again ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        Options.print("ready", Map.of());
        Options.waitForEndOfStdin();
        consumer.shutdown();
        System.exit(0);
    }
}
