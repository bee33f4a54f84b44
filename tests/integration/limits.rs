//! Too much of something: requests, bytes, time, descriptors. What is refused is told, what is given
//! back is free again, and nobody else notices.

mod bodies;
mod descriptors;
mod leaving;
mod memory;
mod overload;
mod shares;
