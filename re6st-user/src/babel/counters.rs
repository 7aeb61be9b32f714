//! How often what happened.

counters! {
    /// Packets handed to us.
    packets_received,
    /// Packets to be sent.
    packets_sent,
    /// Packets dropped whole: not Babel, or a wrong version.
    bad_packets,
    /// Packets not from a link-local address, or on an interface that is not ours.
    foreign_packets,
    /// TLVs ignored: malformed, unknown, or with a mandatory sub-TLV that is.
    ignored_tlvs,
    /// Messages of ours that cannot be said on the wire: an error of ours.
    illegal_messages,
    /// Updates received.
    updates_received,
    /// Updates sent.
    updates_sent,
    /// Updates that carried our own router-id.
    own_updates,
    /// Updates kept but not to be used, because they might loop.
    unfeasible_updates,
    /// Updates denied by the accept filter.
    filtered_updates,
    /// Routes of the unspecified address, refused.
    refused_unspecified,
    /// Routes to loopback addresses, refused.
    refused_loopback,
    /// Routes to link-local addresses, refused.
    refused_link_local,
    /// Routes to multicast addresses, refused.
    refused_multicast,
    /// Routes to IPv4 addresses in IPv6 clothes, refused.
    refused_mapped,
    /// Routes to reserved addresses, refused.
    refused_reserved,
    /// Routes of others to an address of our own, refused.
    refused_own_addresses,
    /// Routes of a part of the network, or out of it, of origins that are no node of it, refused.
    refused_nameless_origins,
    /// Routes of a part of the network, or out of it, of origins with a shorter name than any node has, refused.
    refused_short_origins,
    /// Routes of a part of the network that is not their origin's, refused.
    refused_foreign_origins,
    /// Routes that a neighbour announced as its own and its certificate does not give it, refused.
    refused_not_entitled,
    /// Default routes that a neighbour announced as its own and that is no gateway, refused.
    refused_no_gateway,
    /// Routes that expired.
    expired_routes,
    /// Route requests received.
    route_requests,
    /// Sequence number requests received.
    sequence_number_requests,
    /// Sequence number requests passed on.
    forwarded_requests,
    /// Requests ignored, because the neighbour sends too many.
    limited_requests,
    /// Our requests for newer sequence numbers put off, because the neighbour got many.
    delayed_requests,
    /// Sequence number requests ignored, because too many wait for an answer.
    limited_pending_requests,
    /// Packets ignored, because the interface has too many neighbours.
    limited_neighbours,
    /// Updates ignored, because the neighbour announces too many routes.
    limited_routes,
    /// Updates ignored, because the neighbour announces too many prefixes of one node.
    limited_node_prefixes,
    /// Updates ignored, because the table has too many prefixes or routes.
    limited_table,
    /// Origins forgotten early, because a prefix has too many.
    limited_sources,
    /// Full announcements sent.
    full_updates,
    /// Retractions and changes of origin sent again, to be sure.
    resent_updates,
    /// Probes sent.
    probes_sent,
    /// Neighbours that left probes unanswered.
    unresponsive_neighbours,
    /// Round-trip times that cannot be.
    bad_round_trips,
    /// Digests received that were equal in all blocks.
    equal_digests,
    /// Blocks of digests that differed.
    unequal_blocks,
    /// Changes of the routes in use.
    selections,
}
