//! What is said about the measurements of the secure channel.

/// What is measured, and how.
pub const INTRODUCTION: &str = "\
The secure channel between nodes, beside OpenVPN 2.6, and its tunnels beside those that are written in a file. `cargo xtask bench channel` measures it again in about eight minutes
and writes this section; `channel-idle`, `channel-handshakes`, `channel-flood`, `channel-relay` and `channel-tcp` are its parts.

- **handshakes**: a node is called by others that it has never met: initiation and response with both certificates, each verified against the network's authority (P-256) and the list of the revoked, ML-KEM-768, the
  keys of the tunnel. The engine of the channels runs as in a node, but without sockets. The number is handshakes for each second of processor time of one thread that does the work of both ends. **OpenVPN** likewise: processor time of both
  processes together. **keys**: two processes that are connected agree on new keys each second, which is a full TLS 1.3 handshake with both certificates (P-256, issued by one authority) and nothing else. Without: a new client process
  connects to a server that runs all the time, as re6st has one for each tunnel; the client's time from its start on counts.
- **round-trips**: from the first datagram of who calls until it may send the first packet in the tunnel, by the engine on a simulated way of 50 ms. WireGuard's and OpenVPN's are read off their protocols (OpenVPN: reset, ClientHello, keys, options), not measured.
- **memory**: how much the resident memory of a process grows with 1,000 more channels of one node, behind 1,000 others.
- **idle**: what two engines tell each other in a simulated hour when nobody has anything to send, both directions, with IPv4 and UDP headers, new handshakes included. Babel comes on top. WireGuard's are two packets of 60 octets each 25 s, without its handshakes.
- **flood**: a node at the relay's place is sent initiations of 700 octets by the generator, from 1,024 ports of one address. **wrong-mac**: their sender does not know the node's public key. **no-cookie**: it knows the key, and has shown no cookie.
  Refused by XDP (`re6st_control`; each of the second kind is answered with a cookie, which goes all the way back), and beside that, with XDP told to judge nothing, by the controller, which takes all from its socket. What is stated is, as of a relay,
  handshakes for each second that the node's threads ran, polling and controller: of XDP in a flood of all that the generator makes, of the socket at the highest rate at which (almost) nothing is lost, its best: beyond that, time is spent on what is lost.
- **flood-tunnel**: the relay of **relay**, with inner packets of 692 octets in its tunnels, and the same floods mixed among them, on one link and one core. **socket**: as many bad handshakes a second as a program with a socket and a core of its own sends (measured just before, `channel-flood-of-socket`), and as many
  packets of the tunnel. **generator**: all that the generator makes, which is more than any relay forwards on a core; one frame of eight is the tunnel's, and what does not fit into the relay's queue is lost without regard to what it is. Its contender: the tunnel's packets alone, at the same rate.
- **flood-newcomer**: in such a flood a node that was never there calls, over the flooded link: time until it has its tunnel.
- **relay**: as above, the relay run by `re6st-user node`; generator and sink have channels to it, made of our own library, and announce their prefixes through them. What its controller takes of the core counts. Its contender in turns: the same tunnels and routes of a file. The more packets come at a time the less each costs, so both get as many a second: what the slower one takes.
- **tcp**: as above, between two nodes of which one has called the other. Its contender: the same tunnel of a file.
";
