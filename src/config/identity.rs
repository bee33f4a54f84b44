//! The request fields that tell the backend who the caller is.

use http::HeaderName;
use ipnet::IpNet;

/// The request fields that tell the backend who the caller is.
#[derive(Clone, Debug)]
pub struct IdentityFields {
    /// The principal.
    pub user: HeaderName,
    /// The email address.
    pub email: HeaderName,
    /// The roles, separated by commas.
    pub groups: HeaderName,
    /// Whether `X-DataHub-Actor` is set.
    pub datahub_actor: bool,
    /// Networks of DataHub's frontend, whose `X-DataHub-Request-Source` is trusted.
    pub datahub_frontend_peers: Vec<IpNet>,
}
