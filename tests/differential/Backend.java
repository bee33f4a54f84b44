import com.sun.jersey.api.core.DefaultResourceConfig;
import com.sun.jersey.spi.container.servlet.ServletContainer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.EnumSet;
import javax.servlet.DispatcherType;
import javax.servlet.Filter;
import javax.servlet.FilterChain;
import javax.servlet.FilterConfig;
import javax.servlet.ServletException;
import javax.servlet.ServletRequest;
import javax.servlet.ServletResponse;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import javax.ws.rs.GET;
import javax.ws.rs.Path;
import javax.ws.rs.PathParam;
import org.eclipse.jetty.http.HttpCompliance;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.servlet.FilterHolder;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/**
 * A backend of the kind that metagate stands in front of: Jetty, with Jersey below /api/* as
 * OpenMetadata has it. It answers with what it took the path for.
 */
public final class Backend {
    public static void main(String[] arguments) throws Exception {
        Server server = new Server();
        // As in both backends: ambiguous paths are not refused.
        HttpConnectionFactory http = new HttpConnectionFactory(new HttpConfiguration(), HttpCompliance.LEGACY);
        ServerConnector connector = new ServerConnector(server, http);
        connector.setHost("127.0.0.1");
        connector.setPort(0);
        server.addConnector(connector);

        ServletContextHandler context = new ServletContextHandler();
        context.setContextPath("/");
        context.addFilter(new FilterHolder(new Views()), "/*", EnumSet.of(DispatcherType.REQUEST));
        context.addServlet(
                new ServletHolder(new ServletContainer(new DefaultResourceConfig(
                        Policies.class, Tables.class, Version.class, Login.class))),
                "/api/*");
        context.addServlet(new ServletHolder(new Rest()), "/");
        server.setHandler(context);
        server.start();
        System.out.println("listening " + connector.getLocalPort());
        System.out.flush();
        // Exits with the process that started it.
        while (System.in.read() >= 0) {}
        System.exit(0);
    }

    /** Tells the servlet's view of every request, percent-encoded but for plain characters. */
    public static final class Views implements Filter {
        @Override
        public void init(FilterConfig config) {}

        @Override
        public void destroy() {}

        @Override
        public void doFilter(ServletRequest request, ServletResponse response, FilterChain chain)
                throws IOException, ServletException {
            HttpServletRequest asked = (HttpServletRequest) request;
            HttpServletResponse answer = (HttpServletResponse) response;
            answer.setHeader("X-Request-Uri", encoded(asked.getRequestURI()));
            answer.setHeader("X-Servlet-Path", encoded(asked.getServletPath()));
            answer.setHeader("X-Path-Info", encoded(asked.getPathInfo()));
            chain.doFilter(request, response);
        }

        private static String encoded(String path) {
            if (path == null) {
                return "null";
            }
            StringBuilder text = new StringBuilder();
            for (byte one : path.getBytes(StandardCharsets.UTF_8)) {
                boolean plain = one > ' ' && one < 0x7f && one != '%';
                text.append(plain ? String.valueOf((char) one) : String.format("%%%02X", one));
            }
            return text.toString();
        }
    }

    /** Everything that is not below /api/. */
    public static final class Rest extends HttpServlet {
        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            response.getWriter().print("rest");
        }
    }

    @Path("/v1/policies")
    public static final class Policies {
        @GET
        public String all() {
            return "policies";
        }

        @GET
        @Path("/{id}")
        public String one(@PathParam("id") String id) {
            return "policies/{id}";
        }
    }

    @Path("/v1/tables")
    public static final class Tables {
        @GET
        @Path("/name/{fqn}")
        public String one(@PathParam("fqn") String fqn) {
            return "tables/name/{fqn}";
        }
    }

    @Path("/v1/system/version")
    public static final class Version {
        @GET
        public String get() {
            return "system/version";
        }
    }

    @Path("/v1/users/login")
    public static final class Login {
        @GET
        public String get() {
            return "users/login";
        }
    }
}
