//! Reads the files of a recipe, and runs them with servers of the test in place of the real ones.

use std::fs;

use serde_json::Value;

use crate::support::gateway::{Gateway, Setup, text};
use crate::support::issuer::{Issuer, Reply};
use crate::support::keys::{key_set, spare_rsa};
use crate::support::upstream::Upstream;

/// The backend's own keys in the files; [`spare_rsa`] in the tests.
const OPENMETADATA_KEYS: &str = "http://127.0.0.1:8585/api/v1/system/config/jwks";

fn page(name: &str) -> String {
    let path = format!("{}/docs/recipes/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The file of this name on a page.
pub fn file(page_name: &str, file: &str) -> String {
    let page = page(page_name);
    let mark = format!("<!-- file: {file} -->\n```yaml\n");
    let (_, rest) = page.split_once(&mark).unwrap_or_else(|| panic!("no {file} in {page_name}"));
    rest.split_once("```").expect("an end of the block").0.to_owned()
}

/// A recipe that runs, with its key server and its backend.
pub struct Recipe {
    pub gateway: Gateway,
    pub upstream: Upstream,
    pub issuer: Issuer,
}

/// A recipe that does not run yet.
pub struct Written {
    config: String,
    issuer: Issuer,
}

impl Written {
    /// The configuration of a page.
    pub fn of(page_name: &str) -> Self {
        let written = Self { config: file(page_name, "metagate.yaml"), issuer: Issuer::empty() };
        if !written.config.contains(OPENMETADATA_KEYS) {
            return written;
        }
        let keys = key_set(&[spare_rsa().jwk_openmetadata()]);
        written.serve(OPENMETADATA_KEYS, Reply::Json(keys))
    }

    /// Replaces a text, which must occur.
    pub fn replace(mut self, old: &str, new: &str) -> Self {
        assert!(self.config.contains(old), "{old} is not in the file");
        self.config = self.config.replace(old, new);
        self
    }

    /// Serves this in place of the provider, under the path of its URL.
    pub fn serve(self, url: &str, reply: Reply) -> Self {
        let (_, path) = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).expect("a path");
        let path = format!("/{path}");
        self.issuer.set(&path, reply);
        let own = self.issuer.url(&path);
        self.replace(url, &own)
    }

    /// Asks the key server of the test for the keys below this URL, each under its kid.
    pub fn serve_by_kid(self, prefix: &str, kid: &str, document: String) -> Self {
        self.issuer.set(&format!("/{kid}"), Reply::Status(200, vec![], document));
        let own = self.issuer.url("/");
        self.replace(prefix, &own)
    }

    #[track_caller]
    pub fn start(self) -> Recipe {
        let upstream = Upstream::echo();
        let gateway =
            Setup::run().env("METAGATE_UPSTREAM__URL", upstream.url()).config(&*self.config).start();
        gateway.wait_ready();
        Recipe { gateway, upstream, issuer: self.issuer }
    }
}

impl Recipe {
    /// The status and, if it is refused, the reason and the detail.
    #[track_caller]
    pub fn outcome(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
        let response = crate::support::wire::send(self.gateway.proxy, method, path, fields, b"");
        let record = self.gateway.audit_of(path);
        let of = |record: &Value, name: &str| text(record, name).unwrap_or_default().to_owned();
        (response.status, of(&record, "reason"), of(&record, "detail"))
    }
}

#[test]
fn the_index_lists_every_page() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/recipes");
    let index = page("README.md");
    for entry in fs::read_dir(directory).expect("the directory") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "{name} is not in the index");
    }
}
