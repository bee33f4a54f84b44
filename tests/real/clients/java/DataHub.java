import com.linkedin.dataset.DatasetProperties;
import datahub.client.MetadataWriteResponse;
import datahub.client.rest.RestEmitter;
import datahub.event.MetadataChangeProposalWrapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HashMap;
import java.util.Map;

/**
 * DataHub's RestEmitter, as its users call it. The argument is the server. Prints "ready"; then each line of standard
 * input is an operation and a token, and each line of the output "ok" or "failed" and what the user of the client sees.
 */
public class DataHub {
    static final String DATASET = "urn:li:dataset:(urn:li:dataPlatform:hive,shop.orders,PROD)";

    public static void main(String[] arguments) throws Exception {
        Map<String, RestEmitter> emitters = new HashMap<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        System.out.println("ready");
        for (String line; (line = lines.readLine()) != null; ) {
            String[] words = line.split(" ", 2);
            // One emitter for each token, kept as a program would: its connections too.
            RestEmitter emitter = emitters.computeIfAbsent(words[1], token -> emitter(arguments[0], token));
            System.out.println(run(emitter, words[0]).replaceAll("\\s+", " "));
            System.out.flush();
        }
        System.exit(0);
    }

    static RestEmitter emitter(String server, String token) {
        return RestEmitter.create(builder -> builder.server(server).token(token.equals("none") ? null : token));
    }

    static String run(RestEmitter emitter, String operation) {
        try {
            switch (operation) {
                case "connect":
                    boolean works = emitter.testConnection();
                    return (works ? "ok" : "failed") + " testConnection() returns " + works;
                case "write":
                    return write(emitter, "orders");
                case "large":
                    return write(emitter, "x".repeat(1_000_000));
                default:
                    throw new IllegalArgumentException(operation);
            }
        } catch (Exception error) {
            return "failed " + error;
        }
    }

    static String write(RestEmitter emitter, String description) throws Exception {
        MetadataChangeProposalWrapper proposal = MetadataChangeProposalWrapper.builder()
            .entityType("dataset").entityUrn(DATASET).upsert()
            .aspect(new DatasetProperties().setDescription(description)).build();
        MetadataWriteResponse response = emitter.emit(proposal, null).get();
        String content = response.getResponseContent();
        return (response.isSuccess() ? "ok" : "failed")
            + " isSuccess() is " + response.isSuccess() + ", getResponseContent() is " + content;
    }
}
