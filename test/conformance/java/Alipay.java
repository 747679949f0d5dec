// SPDX-License-Identifier: Apache-2.0
import com.alibaba.fastjson.JSON;
import com.alipay.api.AlipayApiException;
import com.alipay.api.AlipayClient;
import com.alipay.api.AlipayRequest;
import com.alipay.api.AlipayResponse;
import com.alipay.api.CertAlipayRequest;
import com.alipay.api.DefaultAlipayClient;
import com.alipay.api.internal.util.AlipaySignature;
import com.alipay.api.request.AlipayTradeCancelRequest;
import com.alipay.api.request.AlipayTradeCloseRequest;
import com.alipay.api.request.AlipayTradeFastpayRefundQueryRequest;
import com.alipay.api.request.AlipayTradePrecreateRequest;
import com.alipay.api.request.AlipayTradeQueryRequest;
import com.alipay.api.request.AlipayTradeRefundRequest;
import com.alipay.api.request.AlipayTradeWapPayRequest;
import com.google.gson.Gson;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Supplier;

/** com.alipay.sdk:alipay-sdk-java: execute and certificateExecute, pageExecute, its judgement of notifications, and its signing of anything. */
public final class Alipay {
    private static final Map<String, Supplier<AlipayRequest<? extends AlipayResponse>>> METHODS = Map.of(
            "alipay.trade.precreate", AlipayTradePrecreateRequest::new, "alipay.trade.query", AlipayTradeQueryRequest::new,
            "alipay.trade.close", AlipayTradeCloseRequest::new, "alipay.trade.cancel", AlipayTradeCancelRequest::new,
            "alipay.trade.refund", AlipayTradeRefundRequest::new,
            "alipay.trade.fastpay.refund.query", AlipayTradeFastpayRefundQueryRequest::new,
            "alipay.trade.wap.pay", AlipayTradeWapPayRequest::new);

    private static AlipayClient client;
    private static boolean hasCertificates;
    private static String key; // Alipay's public key, or the file of its certificate

    public static void main(String[] args) throws IOException {
        Lines.serve(Alipay::run);
    }

    private static Object run(String op, JsonObject in) throws Exception {
        switch (op) {
            case "init":
                return init(in);
            case "exec":
                return execute(in);
            case "page":
                return client.pageExecute(request(in), text(in, "http")).getBody();
            case "notice":
                return notice(in);
            case "sign":
                return AlipaySignature.rsaSign(text(in, "content"), text(in, "privateKey"), "UTF-8", "RSA2");
            case "signNotice":
                return AlipaySignature.rsaSign(AlipaySignature.getSignCheckContentV1(fields(in)), text(in, "privateKey"), "UTF-8", "RSA2");
            case "signNoticeV2": // sorted and joined as requests are, with their sign_type
                return AlipaySignature.rsaSign(AlipaySignature.getSignCheckContentV2(fields(in)), text(in, "privateKey"), "UTF-8", "RSA2");
            case "isSigned": // a request
                return AlipaySignature.rsaCheckV2(fields(in), text(in, "publicKey"), "UTF-8", "RSA2");
            default:
                throw new IllegalArgumentException(op);
        }
    }

    private static String text(JsonObject in, String name) {
        JsonElement value = in.get(name);
        return value == null ? null : value.getAsString();
    }

    private static Object init(JsonObject in) throws AlipayApiException {
        hasCertificates = in.has("certPath");
        if (hasCertificates) {
            CertAlipayRequest options = new Gson().fromJson(in, CertAlipayRequest.class);
            options.setFormat("json");
            options.setCharset("UTF-8");
            options.setSignType("RSA2");
            client = new DefaultAlipayClient(options);
            key = options.getAlipayPublicCertPath();
        } else {
            key = text(in, "alipayPublicKey");
            client = new DefaultAlipayClient(text(in, "serverUrl"), text(in, "appId"), text(in, "privateKey"), "json", "UTF-8",
                    key, "RSA2");
        }
        return null;
    }

    private static AlipayRequest<? extends AlipayResponse> request(JsonObject in) throws ReflectiveOperationException {
        AlipayRequest<? extends AlipayResponse> request = METHODS.get(text(in, "method")).get();
        // No member of the interface, but every request has it.
        request.getClass().getMethod("setBizContent", String.class).invoke(request, in.get("bizContent").toString());
        request.setNotifyUrl(text(in, "notifyUrl"));
        request.setReturnUrl(text(in, "returnUrl"));
        return request;
    }

    /** The typed answer, as its getters have it. */
    private static Object execute(JsonObject in) throws Exception {
        try {
            AlipayResponse answer = hasCertificates ? client.certificateExecute(request(in)) : client.execute(request(in));
            return JsonParser.parseString(JSON.toJSONString(answer));
        } catch (AlipayApiException e) {
            Map<String, Object> fields = new HashMap<>();
            fields.put("code", e.getErrCode());
            fields.put("cause", String.valueOf(e.getCause()));
            throw new Lines.Told(e, fields);
        }
    }

    private static Map<String, String> fields(JsonObject in) {
        Map<String, String> fields = new HashMap<>();
        in.getAsJsonObject("fields").entrySet().forEach(e -> fields.put(e.getKey(), e.getValue().getAsString()));
        return fields;
    }

    private static boolean notice(JsonObject in) throws AlipayApiException {
        return hasCertificates ? AlipaySignature.rsaCertCheckV1(fields(in), key, "UTF-8", "RSA2")
                : AlipaySignature.rsaCheckV1(fields(in), key, "UTF-8", "RSA2");
    }
}
