//! The request fields that tell the backend who the caller is.

use http::HeaderName;
use ipnet::IpNet;

use crate::claims::ClaimPath;

/// The request fields that tell the backend who the caller is.
#[derive(Clone, Debug)]
pub struct IdentityFields {
    /// The principal; `None` if it is off.
    pub user: Option<HeaderName>,
    /// The email address.
    pub email: Option<HeaderName>,
    /// The roles, separated by commas.
    pub groups: Option<HeaderName>,
    /// The most bytes of the roles.
    pub groups_max_bytes: usize,
    /// Further fields, each with the claims that it may carry.
    pub headers: Vec<(HeaderName, Vec<ClaimPath>)>,
    /// Whether `X-DataHub-Actor` is set.
    pub datahub_actor: bool,
    /// Networks of DataHub's frontend, whose `X-DataHub-Request-Source` is trusted.
    pub datahub_frontend_peers: Vec<IpNet>,
}
