// SPDX-License-Identifier: Apache-2.0
import java.io.IOException;
import java.lang.reflect.Field;
import java.net.InetSocketAddress;
import org.apache.rocketmq.store.DefaultMessageStore;
import org.apache.rocketmq.store.ha.DefaultHAService;

/**
 * The broker's port for replicas knows no bindAddress and would be open to the network: here it is put on loopback before
 * it opens. The broker loads this class by way of META-INF/service (rocketmq.py writes that file).
 */
public final class LoopbackHAService extends DefaultHAService {
    @Override
    public void init(DefaultMessageStore store) throws IOException {
        super.init(store);
        try {
            Field address = acceptSocketService.getClass().getSuperclass().getDeclaredField("socketAddressListen");
            address.setAccessible(true);
            int port = store.getMessageStoreConfig().getHaListenPort();
            address.set(acceptSocketService, new InetSocketAddress("127.0.0.1", port));
        } catch (ReflectiveOperationException e) {
            throw new IOException("another RocketMQ than the one this was written for", e);
        }
    }
}
