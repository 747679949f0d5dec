// SPDX-License-Identifier: Apache-2.0
import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.wechat.pay.java.core.Config;
import com.wechat.pay.java.core.RSAAutoCertificateConfig;
import com.wechat.pay.java.core.RSAPublicKeyConfig;
import com.wechat.pay.java.core.exception.ServiceException;
import com.wechat.pay.java.core.http.DefaultHttpClientBuilder;
import com.wechat.pay.java.core.http.HttpClient;
import com.wechat.pay.java.core.notification.NotificationConfig;
import com.wechat.pay.java.core.notification.NotificationParser;
import com.wechat.pay.java.core.notification.RequestParam;
import com.wechat.pay.java.core.util.GsonUtil;
import com.wechat.pay.java.service.payments.h5.H5Service;
import com.wechat.pay.java.service.payments.jsapi.JsapiServiceExtension;
import com.wechat.pay.java.service.payments.model.Transaction;
import com.wechat.pay.java.service.payments.nativepay.NativePayService;
import com.wechat.pay.java.service.payments.nativepay.model.CloseOrderRequest;
import com.wechat.pay.java.service.payments.nativepay.model.PrepayRequest;
import com.wechat.pay.java.service.payments.nativepay.model.QueryOrderByIdRequest;
import com.wechat.pay.java.service.payments.nativepay.model.QueryOrderByOutTradeNoRequest;
import com.wechat.pay.java.service.refund.RefundService;
import com.wechat.pay.java.service.refund.model.CreateRequest;
import com.wechat.pay.java.service.refund.model.QueryByOutRefundNoRequest;
import com.wechat.pay.java.service.refund.model.RefundNotification;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import okhttp3.HttpUrl;
import okhttp3.OkHttpClient;

/** com.github.wechatpay-apiv3:wechatpay-java. Its host cannot be set: an interceptor leads its requests elsewhere. */
public final class Wechatpay {
    private static final Gson GSON = GsonUtil.getGson();

    private static NativePayService nativePay;
    private static JsapiServiceExtension jsapi;
    private static H5Service h5;
    private static RefundService refunds;
    private static NotificationParser parser;

    public static void main(String[] args) throws IOException {
        Lines.serve((op, in) -> {
            try {
                return run(op, in);
            } catch (ServiceException e) {
                Map<String, Object> fields = new HashMap<>();
                fields.put("status", e.getHttpStatusCode());
                fields.put("code", e.getErrorCode());
                throw new Lines.Told(e, fields);
            }
        });
    }

    private static Object run(String op, JsonObject in) {
        switch (op) {
            case "init":
                return init(in);
            case "native":
                return told(nativePay.prepay(of(in, PrepayRequest.class)));
            case "jsapi": // with all that a page needs
                return told(jsapi.prepayWithRequestPayment(of(in, com.wechat.pay.java.service.payments.jsapi.model.PrepayRequest.class)));
            case "h5":
                return told(h5.prepay(of(in, com.wechat.pay.java.service.payments.h5.model.PrepayRequest.class)));
            case "query":
                return told(nativePay.queryOrderByOutTradeNo(query(in)));
            case "queryById":
                return told(nativePay.queryOrderById(queryById(in)));
            case "close":
                nativePay.closeOrder(close(in));
                return null;
            case "refund":
                return told(refunds.create(of(in, CreateRequest.class)));
            case "refundQuery":
                return told(refunds.queryByOutRefundNo(refundQuery(in)));
            case "notice":
                return notice(in);
            default:
                throw new IllegalArgumentException(op);
        }
    }

    private static String text(JsonObject in, String name) {
        return in.get(name).getAsString();
    }

    private static <T> T of(JsonObject in, Class<T> type) {
        return GSON.fromJson(in.get("body"), type);
    }

    /** What the SDK made of the answer, under the names of the wire. */
    private static JsonElement told(Object answer) {
        return JsonParser.parseString(GSON.toJson(answer));
    }

    private static DefaultHttpClientBuilder clientOf(String url) {
        HttpUrl there = HttpUrl.get(url);
        OkHttpClient client = new OkHttpClient.Builder().addInterceptor(chain -> {
            HttpUrl to = chain.request().url().newBuilder().scheme(there.scheme()).host(there.host()).port(there.port()).build();
            return chain.proceed(chain.request().newBuilder().url(to).build());
        }).build();
        return new DefaultHttpClientBuilder().okHttpClient(client);
    }

    private static Object init(JsonObject in) {
        DefaultHttpClientBuilder builder = clientOf(text(in, "url"));
        Config config = text(in, "by").equals("key")
                ? new RSAPublicKeyConfig.Builder().merchantId(text(in, "mchid")).privateKeyFromPath(text(in, "privateKey"))
                        .merchantSerialNumber(text(in, "serial")).publicKeyFromPath(text(in, "publicKey"))
                        .publicKeyId(text(in, "publicKeyId")).apiV3Key(text(in, "apiV3Key")).build()
                : new RSAAutoCertificateConfig.Builder().merchantId(text(in, "mchid")).privateKeyFromPath(text(in, "privateKey"))
                        .merchantSerialNumber(text(in, "serial")).apiV3Key(text(in, "apiV3Key")).httpClientBuilder(builder).build();
        HttpClient http = builder.config(config).build();
        nativePay = new NativePayService.Builder().config(config).httpClient(http).build();
        jsapi = new JsapiServiceExtension.Builder().config(config).httpClient(http).build();
        h5 = new H5Service.Builder().config(config).httpClient(http).build();
        refunds = new RefundService.Builder().config(config).httpClient(http).build();
        parser = new NotificationParser((NotificationConfig) config);
        return null;
    }

    private static QueryOrderByOutTradeNoRequest query(JsonObject in) {
        QueryOrderByOutTradeNoRequest request = new QueryOrderByOutTradeNoRequest();
        request.setMchid(text(in, "mchid"));
        request.setOutTradeNo(text(in, "number"));
        return request;
    }

    private static QueryOrderByIdRequest queryById(JsonObject in) {
        QueryOrderByIdRequest request = new QueryOrderByIdRequest();
        request.setMchid(text(in, "mchid"));
        request.setTransactionId(text(in, "id"));
        return request;
    }

    private static CloseOrderRequest close(JsonObject in) {
        CloseOrderRequest request = new CloseOrderRequest();
        request.setMchid(text(in, "mchid"));
        request.setOutTradeNo(text(in, "number"));
        return request;
    }

    private static QueryByOutRefundNoRequest refundQuery(JsonObject in) {
        QueryByOutRefundNoRequest request = new QueryByOutRefundNoRequest();
        request.setOutRefundNo(text(in, "number"));
        return request;
    }

    private static JsonElement notice(JsonObject in) {
        JsonObject headers = in.getAsJsonObject("headers");
        RequestParam param = new RequestParam.Builder().serialNumber(text(headers, "Wechatpay-Serial")).nonce(text(headers, "Wechatpay-Nonce"))
                .signature(text(headers, "Wechatpay-Signature")).timestamp(text(headers, "Wechatpay-Timestamp"))
                .signType(text(headers, "Wechatpay-Signature-Type")).body(text(in, "body")).build();
        String event = text(JsonParser.parseString(text(in, "body")).getAsJsonObject(), "event_type");
        JsonObject answer = new JsonObject();
        answer.addProperty("event", event);
        answer.add("resource", told(event.startsWith("REFUND.") ? parser.parse(param, RefundNotification.class)
                : parser.parse(param, Transaction.class)));
        return answer;
    }

    private Wechatpay() {}
}
