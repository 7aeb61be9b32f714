//! How often what happened: every refusal has a name.

use super::refusal::Refusal;

counters! {
    /// Datagrams handed to us.
    datagrams_received,
    /// Datagrams to be sent.
    datagrams_sent,
    /// Datagrams that are none of the four packets.
    malformed_packets,
    /// Initiations of ours.
    initiations_sent,
    /// Initiations that were answered.
    initiations_answered,
    /// Channels that were complete: handshakes that came to their end.
    sessions_completed,
    /// Initiations whose MAC is not for our key: strangers', who get no answer.
    wrong_mac,
    /// Initiations beyond what is computed of all together.
    too_many_initiations,
    /// Initiations beyond what is computed of one source.
    too_many_initiations_of_source,
    /// Initiations that came before.
    replayed_handshake,
    /// Initiations that cannot be decrypted, or whose content is not understood.
    bad_initiation,
    /// Our own key, from somebody else: a copy of this node, or a mirror.
    own_key,
    /// Handshakes that could not be made here: the certificate is too long, or the library fails.
    handshakes_failed,
    /// Packets while this node has no certificate, or is shut down.
    no_credentials,
    /// Responses to no initiation of ours.
    unknown_response,
    /// Responses that cannot be decrypted, or whose content is not understood.
    bad_response,
    /// Cookies that answer no initiation of ours.
    unknown_cookie,
    /// Cookies beyond one an initiation.
    repeated_cookie,
    /// Transport packets of no session of ours.
    unknown_session,
    /// Transport packets that no key of their session opens.
    bad_packet,
    /// Transport packets that came before, or are too old to tell.
    replayed_packet,
    /// Transport packets of an epoch that cannot be.
    bad_epoch,
    /// Transport packets of a session that is too old.
    dead_session,
    /// Transport packets whose content is no list of messages.
    malformed_messages,
    /// Messages of a type that is not known here.
    unknown_messages,
    /// Messages that do not belong where they came.
    unexpected_messages,
    /// Encapsulation keys or ciphertexts that are none.
    bad_post_quantum,
    /// Certificates that cannot be read.
    refused_malformed,
    /// Certificates without an X25519 key.
    refused_no_key,
    /// Certificates for another key than the one that was used.
    refused_other_key,
    /// Certificates of somebody else than was called.
    refused_other_name,
    /// Certificates with our own name.
    refused_own_name,
    /// Certificates with another key than the configuration says.
    refused_pinned,
    /// Certificates of another authority.
    refused_unknown_authority,
    /// Certificates with a forged signature.
    refused_signature,
    /// Certificates of an authority that is not valid now.
    refused_authority,
    /// Certificates that are not valid yet.
    refused_not_yet_valid,
    /// Certificates that have expired.
    refused_expired,
    /// Certificates that are revoked.
    refused_revoked,
    /// Certificates that do not fit the network.
    refused_outside_network,
    /// Nodes that do not agree on post-quantum keys.
    refused_post_quantum,
    /// Nodes that nobody named, when there were enough.
    refused_full,
    /// Sessions others have opened that were thrown away before they were confirmed: too many, or too old.
    unconfirmed_sessions,
    /// Sessions thrown away because a peer has too many.
    excess_sessions,
    /// Sessions that were not complete in time.
    incomplete_sessions,
    /// Channels that were closed because nothing came.
    silent_peers,
    /// Peers that fell silent.
    unresponsive_peers,
    /// Times that an authenticated packet came from another address.
    moves,
    /// Probes sent.
    probes_sent,
    /// Probes received.
    probes_received,
    /// Nodes that were probed without a session.
    node_probes,
    /// Those that answered.
    node_probes_answered,
    /// Those that did not, or who are not what they should be.
    node_probes_unanswered,
    /// Nodes that were not probed because so many others were.
    excess_node_probes,
    /// Packets of Babel that had no channel to go through.
    babel_without_channel,
    /// Packets of Babel that do not fit on the way.
    babel_too_large,
    /// Packets of Babel beyond what is taken out of one packet of a channel.
    excess_babel,
    /// Answers that were not sent because nothing was answered yet from where the peer is now.
    unproven_addresses,
    /// Documents that were received whole.
    documents_received,
    /// Documents that were of no use: pieces that contradict each other, or the same or an older one again.
    useless_documents,
    /// Documents that were given up because their octets did not come, or too slowly.
    slow_documents,
    /// Questions for documents that came too often.
    excess_wants,
    /// Closings that peers told us.
    closings_received,
    /// Tunnels for which no GRE key was free.
    no_tunnel_index,
    /// Times that large packets got lost on a way that used to carry them.
    black_holes,
}

impl Counters {
    pub(super) const fn refused(&mut self, why: Refusal) {
        let counter = match why {
            Refusal::Malformed => &mut self.refused_malformed,
            Refusal::NoKey => &mut self.refused_no_key,
            Refusal::OtherKey => &mut self.refused_other_key,
            Refusal::OtherName => &mut self.refused_other_name,
            Refusal::OwnName => &mut self.refused_own_name,
            Refusal::Pinned => &mut self.refused_pinned,
            Refusal::UnknownAuthority => &mut self.refused_unknown_authority,
            Refusal::Signature => &mut self.refused_signature,
            Refusal::Authority => &mut self.refused_authority,
            Refusal::NotYetValid => &mut self.refused_not_yet_valid,
            Refusal::Expired => &mut self.refused_expired,
            Refusal::Revoked => &mut self.refused_revoked,
            Refusal::OutsideNetwork => &mut self.refused_outside_network,
            Refusal::PostQuantum => &mut self.refused_post_quantum,
            Refusal::Full => &mut self.refused_full,
        };
        *counter += 1;
    }
}
