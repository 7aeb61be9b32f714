//! What is said about the measurements of the registry.

/// What is measured, and how.
pub const INTRODUCTION: &str = "\
Our registry (`re6st-user registry`) side by side with `re6st-registry` of re6stnet 0.642 (Python, from PyPI, with the versions of its libraries that work).
`cargo xtask bench registry` measures it again in about three minutes and writes this section; `registry-enrolment`, `registry-parameters`,
`registry-slow` and `registry-memory` are its parts.

Both run on a host of their own (network namespace), their database on the same disk, clients on the same host and so on the same cores: what clients
cost is part of every number. The Python registry is asked by re6stnet's own client in plain HTTP, ours by our client over TLS.

- **enrol**: newcomers without a token, each on a connection of its own (TCP for Python, TCP and TLS 1.3 for ours), two at a time for Python and 16 for ours; certificates a second that were
  answered for, which both do after the database has synced. **N** certificates are in the database before. Keys are RSA 2048 for Python, P-256 for ours, each registry's default.
- **parameters**: a node fetches the network's parameters over and over on one kept connection, authenticated: HMAC session for Python, TLS client certificate for ours.
- **slow**: the median latency of that, while 1,000 others are connected that send nothing, or one byte now and then, and without them.
- **memory**: resident memory of ours with 50,000 certificates, after all of the above.
";
