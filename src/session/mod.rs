//! A run of a session: the machines, and the one loop that joins them to host, link, disk and user.

pub mod entropy;
pub mod machine;
pub mod meeting;
