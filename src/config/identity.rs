//! What the backend is told about who is asking.

use http::HeaderName;
use ipnet::IpNet;

/// The fields that tell the backend who is asking.
#[derive(Clone, Debug)]
pub struct IdentityFields {
    /// The principal.
    pub user: HeaderName,
    /// The email address.
    pub email: HeaderName,
    /// The roles, comma-joined.
    pub groups: HeaderName,
    /// Whether `X-DataHub-Actor` is set.
    pub datahub_actor: bool,
    /// Peers that are DataHub's frontend and say in `X-DataHub-Request-Source` for whom they ask.
    pub datahub_frontend_peers: Vec<IpNet>,
}
