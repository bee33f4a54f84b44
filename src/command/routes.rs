//! `metagate routes`: lists the routes that need no token with their sources, or shows the row that a request matches.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::{ConfigArguments, Failure, load};
use crate::challenge::Wording;
use crate::config::Flags;
use crate::decision::{Authorizer, Denial, Route};
use crate::explanation::{LocalRequest, describe_route};
use crate::gateway::admission;
use crate::message::Fields;
use crate::policy::{RouteRow, RouteTable};
use crate::request::RequestFacts;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// A request's method; without a request the whole table is printed.
    #[arg(requires = "path")]
    method: Option<Method>,
    /// Its path, exactly as sent in the request.
    path: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = load(&arguments.config, Flags::default())?;
    let admission = admission(&loaded.config);
    match (&arguments.method, &arguments.path) {
        (Some(method), Some(path)) => {
            let facts = LocalRequest::new(method, path, Fields::new()).and_then(|request| {
                let head = request.head();
                admission.facts(&head).map_err(|fault| admission.refused_head(fault, &head))
            });
            print_request(
                &admission.authorizer,
                &format!("{method} {path}"),
                facts.as_deref(),
                arguments.json,
            );
        }
        _ => print_table(&admission.authorizer.policy.routes, arguments.json),
    }
    Ok(())
}

fn print_table(routes: &RouteTable, as_json: bool) {
    if as_json {
        let rows: Vec<_> = routes.rows().iter().enumerate().map(|(at, row)| row_json(at, row)).collect();
        let inactive = routes.inactive().iter().map(|inactive| {
            json!({"route": inactive.row.route.as_str(), "pattern": inactive.row.pattern.to_string(),
                "source": inactive.row.source.to_string(), "why": &*inactive.why})
        });
        let inactive: Vec<_> = inactive.collect();
        say!("{:#}", json!({"rows": rows, "inactive": inactive, "default": Route::Protected.as_str()}));
        return;
    }
    let width = routes.rows().iter().map(|row| row.pattern.to_string().len()).max().unwrap_or_default();
    for (at, row) in routes.rows().iter().enumerate() {
        let case = if row.pattern.path().ignores_case() { " (letter case is ignored)" } else { "" };
        let (route, pattern) = (row.route.as_str(), row.pattern.to_string());
        say!("{:>3}  {route:<9}  {pattern:<width$}  {}{case}", at + 1, row.source);
    }
    say!("     protected  everything else");
    for inactive in routes.inactive() {
        say!("not in force: {}: {}", inactive.row, inactive.why);
    }
}

fn print_request(
    authorizer: &Authorizer,
    request: &str,
    facts: Result<&RequestFacts, &Denial>,
    as_json: bool,
) {
    let request = request.escape_debug();
    let facts = match facts {
        Ok(facts) => facts,
        Err(denial) => return print_refusal(authorizer, &request.to_string(), denial, as_json),
    };
    let routed = authorizer.routed(facts);
    let meaning = describe_route(authorizer, facts, routed);
    let routes = &authorizer.policy.routes;
    let readings = facts.path.all().map(|reading| {
        let row = routes.find(&facts.method, reading);
        (String::from_utf8_lossy(reading).escape_debug().to_string(), row)
    });
    let numbered = |row: Option<usize>| row.and_then(|at| Some((at, routes.rows().get(at)?)));
    if as_json {
        let reading = |(path, row): (String, Option<usize>)| json!({"path": path, "row": numbered(row).map(|(at, row)| row_json(at, row))});
        let readings: Vec<_> = readings.map(reading).collect();
        say!(
            "{:#}",
            json!({"request": request.to_string(), "route": routed.route.as_str(),
                "row": numbered(routed.row).map(|(at, row)| row_json(at, row)),
                "readings": readings, "why": meaning, "refused": Value::Null})
        );
        return;
    }
    say!("{request}");
    for (path, row) in readings {
        match numbered(row) {
            Some((at, row)) => say!("  read as {path}: row {}, {row}", at + 1),
            None => say!("  read as {path}: no row"),
        }
    }
    say!("{meaning}");
}

fn print_refusal(authorizer: &Authorizer, request: &str, denial: &Denial, as_json: bool) {
    let wording = Wording::new(authorizer.backend, &authorizer.trust);
    let (message, reason) = (wording.message(denial), denial.reason.as_str());
    let (status, detail) = (denial.reason.row().status.as_u16(), denial.detail.as_deref());
    if as_json {
        let refused = json!({"status": status, "reason": reason, "message": message, "detail": detail});
        say!("{:#}", json!({"request": request, "refused": refused}));
        return;
    }
    let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
    say!("{request}");
    say!("refused: {status} {message}{detail}  reason={reason}");
}

pub(super) fn row_json(at: usize, row: &RouteRow) -> Value {
    let methods: Vec<_> = row.pattern.methods().names().collect();
    json!({
        "row": at + 1,
        "route": row.route.as_str(),
        "methods": methods,
        "path": row.pattern.path().to_string(),
        "ignores_case": row.pattern.path().ignores_case(),
        "preset": !row.is_configured(),
        "source": row.source.to_string(),
    })
}
