// SPDX-License-Identifier: Apache-2.0
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * A program of these tests: one JSON object a line in, {"op":...}, one out, {"ok":...} or {"error":{...}}, in order. Ends when
 * stdin does.
 */
final class Lines {
    private static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();

    interface Op {
        Object run(String op, JsonObject in) throws Exception;
    }

    /** Thrown by an Op: fields to be told besides name and message. */
    static final class Told extends Exception {
        private static final long serialVersionUID = 1;
        final transient Map<String, Object> fields;

        Told(Exception cause, Map<String, Object> fields) {
            super(cause);
            this.fields = fields;
        }
    }

    static void serve(Op ops) throws IOException {
        // The SDKs may write to stdout; our lines go to what it was before.
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null;) {
            Map<String, Object> answer = new LinkedHashMap<>();
            try {
                JsonObject asked = JsonParser.parseString(line).getAsJsonObject();
                answer.put("ok", ops.run(asked.get("op").getAsString(), asked));
            } catch (Exception e) {
                answer.put("error", told(e));
            }
            out.println(GSON.toJson(answer));
        }
        // Threads of the SDKs' own do not keep it.
        Runtime.getRuntime().halt(0);
    }

    private static Map<String, Object> told(Exception e) {
        Throwable what = e instanceof Told ? e.getCause() : e;
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("name", what.getClass().getSimpleName());
        fields.put("message", String.valueOf(what.getMessage()));
        if (e instanceof Told) {
            fields.putAll(((Told) e).fields);
        } else {
            e.printStackTrace();
        }
        return fields;
    }

    private Lines() {}
}
