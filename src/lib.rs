//! metagate verifies bearer tokens in front of a metadata backend and forwards the requests that are allowed.
//!
//! The steps of a request: bytes → [`request`] facts → [`policy`] route → credentials → a verified token
//! ([`jose`], [`claims`], [`trust`]) → a permit or a denial ([`decision`]) → upstream → response → audit.
//! [`admission`] has the steps from the facts to the decision. `docs/architecture.md` describes the modules.

// The groups are in the order of dependency: a module imports only from groups above its own. `tests/floors.rs`
// checks it.

// Vocabulary.
mod digest;
#[cfg(feature = "server")]
mod loopback;
mod octets;
pub mod message;
pub mod numeric_date;
mod printable;
mod sync;
#[cfg(feature = "server")]
mod random;
pub mod rate_limiter;
mod sharded;
#[cfg(feature = "server")]
mod timer;

// Parsing hostile input.
pub mod request;
pub mod trace_context;
pub mod http1;
pub mod jose;

// Meaning.
pub mod backend;
pub mod claims;
pub mod revocation;
pub mod policy;
pub mod trust;
pub mod token_exchange;
pub mod mint;
pub mod own_issuer;
pub mod bots;

// Decision and wording.
pub mod diagnosis;
pub mod decision;
pub mod challenge;
pub mod outbound_head;
pub mod cors;
pub mod resource_metadata;
pub mod admission;

// Configuration.
#[cfg(feature = "server")]
mod file_watch;
#[cfg(feature = "server")]
mod list_file;
#[cfg(feature = "server")]
pub mod config;

// Instruments and adapters.
#[cfg(feature = "server")]
mod signals;
#[cfg(feature = "server")]
pub mod metrics;
#[cfg(feature = "server")]
mod panics;
#[cfg(feature = "server")]
mod history;
#[cfg(feature = "server")]
mod budget;
#[cfg(feature = "server")]
mod spare_buffers;
#[cfg(feature = "server")]
mod client_body;
#[cfg(feature = "server")]
mod discard;
#[cfg(feature = "server")]
mod tls;
#[cfg(feature = "server")]
mod client_proxies;
#[cfg(feature = "server")]
pub mod audit;
#[cfg(feature = "server")]
mod refusals;
#[cfg(feature = "server")]
mod tokens_in_use;
#[cfg(feature = "server")]
mod token_digest;
#[cfg(feature = "server")]
mod jwks;
#[cfg(feature = "server")]
pub mod shared_set;
#[cfg(feature = "server")]
mod revocation_list;
#[cfg(feature = "server")]
mod bot_list;
#[cfg(feature = "server")]
pub mod token_cache;
#[cfg(feature = "server")]
pub mod mint_cache;
#[cfg(feature = "server")]
mod backend_credentials;
#[cfg(feature = "server")]
mod upstream;
#[cfg(feature = "server")]
pub mod spans;
#[cfg(feature = "server")]
mod introspection;

// One request, one process.
#[cfg(feature = "server")]
pub mod exchange;
#[cfg(feature = "server")]
mod respond;
#[cfg(feature = "server")]
mod explanation;
#[cfg(feature = "server")]
mod gateway;
#[cfg(feature = "server")]
mod connection;
#[cfg(feature = "server")]
mod side_listener;
#[cfg(feature = "server")]
mod admin;
#[cfg(feature = "server")]
mod server;
#[cfg(feature = "server")]
mod telemetry;
#[cfg(feature = "server")]
pub mod command;

/// The admission of a configuration: with [`admission::Snapshot`], the decisions of the proxy without a socket. For tests
/// (`tests/oracle`) and tools.
#[cfg(feature = "server")]
pub use gateway::admission as admission_of;

/// What becomes of the answers of a store, without a connection. For tests (`fuzz/src/store.rs`).
#[cfg(feature = "server")]
pub use {bot_list::StoreBots, revocation_list::StoreList};

#[cfg(test)]
mod test_support;
