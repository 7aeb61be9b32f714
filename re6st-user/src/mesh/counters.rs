//! How often what happened.

counters! {
    /// Tunnels that were to be opened.
    openings,
    /// Tunnels of ours that came up.
    opened,
    /// Tunnels that could not be opened: nobody answered.
    unreachable,
    /// Tunnels that could not be opened: the peer has no room.
    full_peers,
    /// Tunnels that could not be opened: somebody else is there.
    wrong_nodes,
    /// Tunnels that were not up in time.
    late,
    /// Tunnels of others that came up.
    served,
    /// Tunnels of others that were refused: there is no room.
    refused_full,
    /// Tunnels of others that gave way to those for whom places are kept.
    made_room,
    /// Tunnels of nodes that the network does not know any more.
    refused_expelled,
    /// Both ends had opened one.
    duplicates,
    /// Tunnels that were lost.
    lost,
    /// Random tunnels that were renewed.
    renewed,
    /// Tunnels that gave way to better ones.
    improved,
    /// Rounds.
    rounds,
    /// Questions asked.
    questions,
    /// Those in which a node that may be behind a NAT was asked to call us while we call it.
    introductions,
    /// Answers that came.
    answers,
    /// Questions without an answer.
    unanswered,
    /// Answers that nobody had asked for, or that came too late.
    unasked_answers,
    /// Answers with another number of metrics than were asked.
    malformed_answers,
    /// Probes.
    probes,
    /// Probes without an answer.
    unanswered_probes,
    /// Results of probes that nobody had asked for.
    unasked_probes,
    /// Questions of others that were answered.
    answered,
    /// Questions of others beyond what is answered.
    excess_questions,
    /// Addresses that nothing can be sent to, or that are beyond how many are taken.
    bad_addresses,
    /// Records of nodes that have signed newer ones since.
    stale_records,
    /// Addresses at which another node is.
    taken_addresses,
    /// Drawn nodes that were not taken because a random tunnel leads to the same owner or block of addresses.
    not_spread,
    /// Candidates that promised shorter ways than they gave.
    broken_promises,
    /// Times the registry was asked for peers.
    registry_questions,
}
