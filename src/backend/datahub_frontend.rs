//! The preset for DataHub's web frontend, from its `routes` and `Application`.

use super::routes::{protected, public};
use super::{Identification, Preset, PresetRow, datahub, generic};
use crate::request::BackendQuirks;

pub(super) const PRESET: Preset = Preset {
    name: "datahub-frontend",
    routes: ROUTES,
    quirks: BackendQuirks {
        // It prefers the token in `PLAY_SESSION` to the `Authorization` field.
        session_cookies: &["PLAY_SESSION", "actor"],
        // How it rewrites a path before it calls GMS (`Application.mapPath`).
        rewrites: &[("/api/gms", ""), ("/api/v2/graphql", "/api/graphql")],
        ..generic::PRESET.quirks
    },
    request_source: Some(datahub::REQUEST_SOURCE),
    identification: Some(Identification {
        server: "DataHub's frontend",
        path: "/config",
        member: &["config", "application"],
        text: Some("datahub-frontend"),
        versions: &[&["config", "appVersion"]],
    }),
    ..datahub::PRESET
};

/// The paths that the frontend serves without a session: its login flow and the single page application.
const ROUTES: &[PresetRow] = &[
    public("GET /admin", "conf/routes, health check"),
    public("GET /health", "conf/routes, health check"),
    public("GET /config", "conf/routes, appConfig"),
    public("GET /mfe/config", "conf/routes, micro frontends"),
    public("GET /authenticate", LOGIN),
    public("GET /sso", LOGIN),
    public("POST /logIn", LOGIN),
    public("POST /signUp", LOGIN),
    public("POST /resetNativeUserCredentials", LOGIN),
    public("GET,POST /callback/*", LOGIN),
    public("GET /logOut", LOGIN),
    // At any depth, because DATAHUB_BASE_PATH may precede it. This includes `/api/gms`, which the frontend
    // rewrites without checking for a segment boundary after it.
    protected("/**/api/**", "conf/routes, /api/*path to GMS"),
    protected("/**/openapi/**", "conf/routes, /openapi/*path to GMS"),
    protected("/otel/**", "conf/routes, /otel/v1/traces"),
    protected("/track/**", "conf/routes, /track needs a session"),
    public("GET /**", "conf/routes, /*path: index.html or an asset"),
];

const LOGIN: &str = "conf/routes, login flow";
