import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import feign.Feign;
import feign.Headers;
import feign.Param;
import feign.RequestInterceptor;
import feign.RequestLine;
import feign.RequestTemplate;
import feign.form.FormEncoder;
import feign.jackson.JacksonDecoder;
import feign.jackson.JacksonEncoder;
import feign.okhttp.OkHttpClient;
import feign.slf4j.Slf4jLogger;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.openmetadata.schema.api.data.CreateTable;
import org.openmetadata.schema.security.client.OpenMetadataJWTClientConfig;
import org.openmetadata.schema.services.connections.metadata.AuthProvider;
import org.openmetadata.schema.services.connections.metadata.OpenMetadataConnection;
import org.openmetadata.schema.type.Column;
import org.openmetadata.schema.type.ColumnDataType;

/**
 * A model of openmetadata-java-client 1.6, which is not on Maven Central: its configuration classes, its HTTP stack in
 * its versions (Feign with Jackson, on OkHttp, with Feign's default retries and errors), and what its sources add to
 * them. It sends no token if the URL has the word "version". Input and output are those of DataHub.java.
 */
public class OpenMetadata {
    /** What the generated interfaces of the client look like. */
    interface Api {
        @RequestLine("GET /v1/system/version")
        @Headers("Accept: application/json")
        Map<String, Object> getCatalogVersion();

        @RequestLine("GET /v1/tables?limit={limit}")
        @Headers("Accept: application/json")
        Map<String, Object> listTables(@Param("limit") int limit);

        @RequestLine("GET /v1/tables/{id}/versions")
        @Headers("Accept: application/json")
        Map<String, Object> listAllTableVersion(@Param("id") String id);

        @RequestLine("PUT /v1/tables")
        @Headers({"Content-Type: application/json", "Accept: application/json"})
        Map<String, Object> createOrUpdateTable(CreateTable table);
    }

    /** The token of the configuration, as OpenMetadataAuthenticationProvider adds it. */
    static class Authentication implements RequestInterceptor {
        final OpenMetadataConnection config;

        Authentication(OpenMetadataConnection config) {
            this.config = config;
        }

        @Override
        public void apply(RequestTemplate request) {
            String token = config.getSecurityConfig().getJwtToken();
            if (!request.url().contains("version") && token != null) {
                request.header("Authorization", "Bearer " + token);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        Map<String, Api> clients = new HashMap<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        System.out.println("ready");
        for (String line; (line = lines.readLine()) != null; ) {
            String[] words = line.split(" ", 2);
            Api client = clients.computeIfAbsent(words[1], token -> client(arguments[0], token));
            System.out.println(run(client, words[0]).replaceAll("\\s+", " "));
            System.out.flush();
        }
        System.exit(0);
    }

    static Api client(String server, String token) {
        OpenMetadataJWTClientConfig security = new OpenMetadataJWTClientConfig();
        security.setJwtToken(token.equals("none") ? null : token);
        OpenMetadataConnection config = new OpenMetadataConnection();
        config.setHostPort(server + "/api");
        config.setAuthProvider(AuthProvider.OPENMETADATA);
        config.setSecurityConfig(security);
        ObjectMapper mapper = new ObjectMapper()
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .setSerializationInclusion(JsonInclude.Include.NON_NULL);
        return Feign.builder()
            .encoder(new FormEncoder(new JacksonEncoder(mapper)))
            .decoder(new JacksonDecoder(mapper))
            .logger(new Slf4jLogger())
            .client(new OkHttpClient())
            .requestInterceptor(new Authentication(config))
            .target(Api.class, config.getHostPort() + "/");
    }

    static String run(Api client, String operation) {
        try {
            switch (operation) {
                case "connect":
                    return "ok version " + client.getCatalogVersion().get("version");
                case "read":
                    return "ok " + client.listTables(2).get("data");
                case "versions":
                    return "ok " + client.listAllTableVersion("11111111-1111-4111-8111-111111111111");
                case "write":
                    return "ok " + client.createOrUpdateTable(table("orders")).get("name");
                case "large":
                    return "ok " + client.createOrUpdateTable(table("x".repeat(1_000_000))).get("name");
                default:
                    throw new IllegalArgumentException(operation);
            }
        } catch (Exception error) {
            return "failed " + error;
        }
    }

    static CreateTable table(String description) {
        Column column = new Column().withName("id").withDataType(ColumnDataType.INT);
        return new CreateTable().withName("orders").withDescription(description)
            .withDatabaseSchema("shop.sales.public").withColumns(List.of(column));
    }
}
