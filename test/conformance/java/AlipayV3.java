// SPDX-License-Identifier: Apache-2.0
import com.alipay.v3.ApiClient;
import com.alipay.v3.ApiException;
import com.alipay.v3.api.AlipayTradeApi;
import com.alipay.v3.api.AlipayTradeFastpayRefundApi;
import com.alipay.v3.model.AlipayTradeCancelModel;
import com.alipay.v3.model.AlipayTradeCloseModel;
import com.alipay.v3.model.AlipayTradeFastpayRefundQueryModel;
import com.alipay.v3.model.AlipayTradePrecreateModel;
import com.alipay.v3.model.AlipayTradeQueryModel;
import com.alipay.v3.model.AlipayTradeRefundModel;
import com.alipay.v3.util.model.AlipayConfig;
import com.google.gson.Gson;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;

/** com.alipay.sdk:alipay-sdk-java-v3: its typed calls. */
public final class AlipayV3 {
    private static ApiClient client;

    public static void main(String[] args) throws IOException {
        Lines.serve(AlipayV3::run);
    }

    private static Object run(String op, JsonObject in) throws Exception {
        if (op.equals("init")) {
            client = new ApiClient();
            client.setBasePath(in.get("serverUrl").getAsString());
            client.setAlipayConfig(new Gson().fromJson(in, AlipayConfig.class));
            return null;
        }
        try {
            return JsonParser.parseString(call(op, in.get("body").toString()));
        } catch (ApiException e) {
            Map<String, Object> fields = new HashMap<>();
            fields.put("status", e.getCode());
            fields.put("body", String.valueOf(e.getResponseBody()));
            // The typed error: reading it fails on a code or a shape that the SDK does not know.
            fields.put("typed", e.getErrorObject() == null ? null : e.getErrorObject().getActualInstance().getClass().getSimpleName());
            throw new Lines.Told(e, fields);
        }
    }

    private static String call(String op, String body) throws ApiException, IOException {
        AlipayTradeApi trade = new AlipayTradeApi(client);
        switch (op) {
            case "precreate":
                return trade.precreate(AlipayTradePrecreateModel.fromJson(body)).toJson();
            case "query":
                return trade.query(AlipayTradeQueryModel.fromJson(body)).toJson();
            case "close":
                return trade.close(AlipayTradeCloseModel.fromJson(body)).toJson();
            case "cancel":
                return trade.cancel(AlipayTradeCancelModel.fromJson(body)).toJson();
            case "refund":
                return trade.refund(AlipayTradeRefundModel.fromJson(body)).toJson();
            case "fastpay/refund/query":
                return new AlipayTradeFastpayRefundApi(client).query(AlipayTradeFastpayRefundQueryModel.fromJson(body)).toJson();
            default:
                throw new IllegalArgumentException(op);
        }
    }
}
