import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.security.cert.X509Certificate;
import java.time.Duration;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

/** Arguments: the two base URLs, then SIZE:TRIES. Prints, for each try, the client, the size, and ok or a fault. */
public class Refused {
    static final Duration PATIENCE = Duration.ofSeconds(3);

    interface Client {
        /** Status and body of a refused request. */
        String ask(String url, byte[] body) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        String plain = arguments[0], tls = arguments[1];
        System.setProperty("jdk.internal.httpclient.disableHostnameVerification", "true");
        HttpClient http1 = client(HttpClient.Version.HTTP_1_1), http2 = client(HttpClient.Version.HTTP_2);
        for (int at = 2; at < arguments.length; at++) {
            String[] parts = arguments[at].split(":");
            int size = Integer.parseInt(parts[0]), tries = Integer.parseInt(parts[1]);
            repeat("java HttpClient h1", plain, size, tries, (url, body) -> send(http1, url, body));
            repeat("java HttpClient h2c offered", plain, size, tries, (url, body) -> send(http2, url, body));
            repeat("java HttpClient TLS h1", tls, size, tries, (url, body) -> send(http1, url, body));
            repeat("java HttpClient TLS h2", tls, size, tries, (url, body) -> send(http2, url, body));
            repeat("java HttpURLConnection h1", plain, size, tries, Refused::connection);
        }
        System.exit(0);
    }

    static void repeat(String name, String url, int size, int tries, Client client) {
        for (int count = 0; count < tries; count++) {
            String fault;
            try {
                String got = client.ask(url, new byte[size]);
                fault = got.startsWith("401 {") && got.endsWith("}") ? "ok" : got;
            } catch (Exception error) {
                Throwable cause = error.getCause() == null ? error : error.getCause();
                fault = cause.getClass().getSimpleName() + ": " + cause.getMessage();
            }
            System.out.println(name + "\t" + size + "\t" + fault.replaceAll("\\s+", " "));
        }
    }

    static HttpClient client(HttpClient.Version version) throws Exception {
        TrustManager everybody = new X509TrustManager() {
            public void checkClientTrusted(X509Certificate[] chain, String kind) {}
            public void checkServerTrusted(X509Certificate[] chain, String kind) {}
            public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
        };
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {everybody}, null);
        return HttpClient.newBuilder().version(version).sslContext(context).connectTimeout(PATIENCE).build();
    }

    static String send(HttpClient client, String url, byte[] body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url)).timeout(PATIENCE)
            .header("Content-Type", "application/json").POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
        HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
        return response.statusCode() + " " + response.body();
    }

    static String connection(String url, byte[] body) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        connection.setConnectTimeout((int) PATIENCE.toMillis());
        connection.setReadTimeout((int) PATIENCE.toMillis());
        connection.setDoOutput(true);
        connection.setRequestProperty("Content-Type", "application/json");
        try (OutputStream stream = connection.getOutputStream()) {
            stream.write(body);
        }
        int status = connection.getResponseCode();
        InputStream stream = connection.getErrorStream();
        return status + " " + (stream == null ? "" : new String(stream.readAllBytes(), StandardCharsets.UTF_8));
    }
}
