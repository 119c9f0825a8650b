//! The tour: an embedded mock provider, the proxy, and a client.
