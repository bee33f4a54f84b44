//! Limits on requests, bytes, time and file descriptors: what exceeds them is refused, what ends is
//! released, and other clients are not affected.

mod behind_proxies;
mod bodies;
mod descriptors;
mod leaving;
mod memory;
mod overload;
mod rates;
mod shares;
mod targets;
