//! What a policy says of requests, before anybody looks at customers.

pub mod path;
