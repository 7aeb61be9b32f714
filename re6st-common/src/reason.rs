//! Why a packet was not simply forwarded. Each reason has a name, a fate and a counter.

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Gone, and counted.
    Dropped,
    /// Handed to the kernel's own stack, which does the right thing: freed of its outer headers if it had any.
    Kernel,
    /// Left as it is for whoever it was meant for.
    Untouched,
}

macro_rules! reasons {
    ($($(#[doc = $text:literal])+ $variant:ident $field:ident $fate:ident,)+) => {
        /// Why a packet was not simply forwarded.
        #[repr(u32)]
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Reason { $($(#[doc = $text])+ $variant,)+ }

        impl Reason {
            /// All of them, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The counter's name, as bpftool and `status` show it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($field),)+ }
            }

            /// What becomes of a packet with this reason.
            #[inline(always)]
            pub const fn fate(self) -> Fate {
                match self { $(Self::$variant => Fate::$fate,)+ }
            }

            /// One line for people.
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($text),+).trim_ascii(),)+ }
            }
        }

        /// The only entry of REASONS (per-CPU array): how many packets met each reason.
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[cfg_attr(feature = "user", derive(serde::Serialize))]
        pub struct ReasonCounters { $($(#[doc = $text])+ pub $field: u64,)+ }

        impl ReasonCounters {
            /// The counter of one reason.
            pub const fn get(&self, reason: Reason) -> u64 {
                match reason { $(Reason::$variant => self.$field,)+ }
            }

            /// The counter of one reason, to change it.
            pub const fn get_mut(&mut self, reason: Reason) -> &mut u64 {
                match reason { $(Reason::$variant => &mut self.$field,)+ }
            }
        }
    };
}

reasons! {
    /// headers cut short
    Truncated truncated Dropped,
    /// a length field contradicts another, or the frame
    BadLength bad_length Dropped,
    /// no tunnel has this GRE key
    UnknownKey unknown_key Dropped,
    /// the key belongs to a tunnel with other outer addresses
    WrongPeer wrong_peer Dropped,
    /// the tunnel's packets arrive on another interface or VLAN
    WrongInterface wrong_interface Dropped,
    /// a tunnel's packet in fragments: the path carries less than the peer believes
    OuterFragment outer_fragment Dropped,
    /// a tunnel's packet with options or extension headers in the outer header
    OuterOptions outer_options Dropped,
    /// GRE carries something else than IPv4 or IPv6
    UnknownProtocol unknown_protocol Dropped,
    /// what GRE announces and the version of the inner packet differ, or its header is impossible
    InnerMismatch inner_mismatch Dropped,
    /// an inner address that no packet may carry: unspecified, loopback, multicast as source
    ForbiddenAddress forbidden_address Dropped,
    /// the inner source claims to be this node, or behind it
    SpoofedSource spoofed_source Dropped,
    /// a packet from a plain interface whose source is not of this node's own subnets
    ForeignSource foreign_source Dropped,
    /// the route leads back where the packet came from
    RoutingLoop routing_loop Dropped,
    /// this node does not relay for others
    ForwardingDisabled forwarding_disabled Dropped,
    /// congestion was marked outside, but the inner packet does not know of it (RFC 6040)
    IllegalEcn illegal_ecn Dropped,
    /// a frame from outside with the mesh device's own Ethernet address
    ForgedFrame forged_frame Dropped,
    /// the driver left no room for the outer headers
    NoHeadroom no_headroom Dropped,
    /// bigger than the MTU that the interface has by now, which was bigger at the load
    LinkMtu link_mtu Dropped,
    /// the packet could not be rewritten
    RewriteFailed rewrite_failed Dropped,
    /// the host sent to the mesh, which has no route
    SendNoRoute send_no_route Dropped,
    /// the host sent more than the tunnel's MTU
    SendTooBig send_too_big Dropped,
    /// the host sent link-local or multicast to the mesh device
    SendLinkScoped send_link_scoped Dropped,
    /// no initiation of a handshake, though it says so: cut short, of impossible lengths, or nobody could be answered
    HandshakeMalformed handshake_malformed Dropped,
    /// an initiation of a handshake in a version that this node does not speak
    HandshakeVersion handshake_version Dropped,
    /// an initiation of a handshake by somebody who does not know this node's public key
    HandshakeMac handshake_mac Dropped,
    /// an initiation of a handshake that was answered with a cookie, since too many come: who is where it says comes again
    HandshakeCookie handshake_cookie Dropped,
    /// for this node itself: arrived on the mesh device
    Local local Kernel,
    /// for a host behind this node, by the kernel's own routes
    Site site Kernel,
    /// the hop limit is spent: the kernel answers Time Exceeded
    HopLimit hop_limit Kernel,
    /// bigger than the next hop's MTU: the kernel answers Packet Too Big, or fragments
    TooBig too_big Kernel,
    /// IPv4 options or IPv6 hop-by-hop options: the kernel heeds them
    Options options Kernel,
    /// may be several segments that the kernel merged before XDP saw them: the kernel takes them apart
    Merged merged Kernel,
    /// the Ethernet address of the router on the link is not known: the kernel asks for it
    UnresolvedNeighbour unresolved_neighbour Kernel,
    /// no route: the kernel answers Destination Unreachable
    NoRoute no_route Kernel,
    /// a frame that has nothing to do with the mesh
    Ordinary ordinary Untouched,
    /// not GRE data, or link-local or multicast inside: for the controller
    Control control Untouched,
}

impl ReasonCounters {
    /// How many counters there are.
    pub const COUNT: usize = Reason::ALL.len();
}

const _: () = assert!(size_of::<ReasonCounters>() == ReasonCounters::COUNT * size_of::<u64>());
