//! What is said about the measurements of the secure channel.

/// What is measured, and how.
pub const INTRODUCTION: &str = "\
The secure channel between nodes, beside OpenVPN 2.6, and its tunnels beside those that are written in a file. `cargo xtask bench channel` measures it again in about three minutes
and writes this section; `channel-idle`, `channel-handshakes`, `channel-relay` and `channel-tcp` are its parts.

- **handshakes**: a node is called by others that it has never met: initiation and response with both certificates, each verified against the network's authority (P-256) and the list of the revoked, ML-KEM-768, the
  keys of the tunnel. The engine of the channels runs as in a node, but without sockets. The number is handshakes for each second of processor time of one thread that does the work of both ends. **OpenVPN** likewise: processor time of both
  processes together. **keys**: two processes that are connected agree on new keys each second, which is a full TLS 1.3 handshake with both certificates (P-256, issued by one authority) and nothing else. Without: a new client process
  connects to a server that runs all the time, as re6st has one for each tunnel; the client's time from its start on counts.
- **round-trips**: from the first datagram of who calls until it may send the first packet in the tunnel, by the engine on a simulated way of 50 ms. WireGuard's and OpenVPN's are read off their protocols (OpenVPN: reset, ClientHello, keys, options), not measured.
- **memory**: how much the resident memory of a process grows with 1,000 more channels of one node, behind 1,000 others.
- **idle**: what two engines tell each other in a simulated hour when nobody has anything to send, both directions, with IPv4 and UDP headers, new handshakes included. Babel comes on top. WireGuard's are two packets of 60 octets each 25 s, without its handshakes.
- **relay**: as above, the relay run by `re6st-user node`; generator and sink have channels to it, made of our own library, and announce their prefixes through them. What its controller takes of the core counts. Its contender in turns: the same tunnels and routes of a file.
- **tcp**: as above, between two nodes of which one has called the other. Its contender: the same tunnel of a file.
";
