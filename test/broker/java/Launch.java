// SPDX-License-Identifier: Apache-2.0
import java.util.Arrays;
import org.apache.rocketmq.broker.BrokerStartup;
import org.apache.rocketmq.namesrv.NamesrvStartup;

/**
 * Starts a name server or a broker by its own main(): Launch namesrv|broker ARGS. The JVM ends when its stdin does, so
 * that none outlives the test that started it, however that ended.
 */
final class Launch {
    private Launch() {
    }

    public static void main(String[] args) {
        Thread guard = new Thread(Launch::endWithStdin, "stdin-guard");
        guard.setDaemon(true);
        guard.start();
        String[] rest = Arrays.copyOfRange(args, 1, args.length);
        if (args[0].equals("namesrv")) {
            NamesrvStartup.main(rest);
        } else {
            BrokerStartup.main(rest);
        }
    }

    private static void endWithStdin() {
        try {
            while (System.in.read() >= 0) {
                continue;
            }
        } catch (java.io.IOException e) {
            // the same end
        }
        Runtime.getRuntime().halt(0);
    }
}
