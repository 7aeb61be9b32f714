//! Two nodes, and randomness that can be repeated.

use std::convert::Infallible;

use crate::{
    babel::random::Random as Generator,
    certificate::static_key::StaticKey,
    channel::{
        PostQuantum,
        handshake::{Initiator, Received, respond},
        identity::Identity,
        post_quantum::SharedSecret,
        session::{Session, SessionSettings},
        wire::{Offer, SessionIndex},
    },
    time::Time,
};

pub const START: Time = Time(1_000_000);

/// A source of randomness for tests: equal seeds give equal octets.
pub fn random(seed: u64) -> impl FnMut(&mut [u8]) {
    let mut generator = Generator::new(seed);
    move |out| out.fill_with(|| generator.next() as u8)
}

/// The key with these octets.
pub fn static_key(octets: &[u8; 32]) -> StaticKey {
    let prefix = data_encoding::HEXLOWER
        .decode(b"302e020100300506032b656e04220420")
        .unwrap();
    let block = pem::Pem::new("PRIVATE KEY", [&prefix[..], octets].concat());
    StaticKey::from_pem(&pem::encode(&block)).unwrap()
}

pub fn identity(seed: u8) -> Identity {
    Identity::new(
        &static_key(&[seed; 32]),
        format!("certificate {seed}").into(),
    )
}

pub fn index(number: u32) -> SessionIndex {
    SessionIndex::new(number).unwrap()
}

/// An initiation from node 1 to node 2.
pub fn initiation(seed: u64, offer: &Offer) -> (Initiator, Vec<u8>) {
    let peer = *identity(2).public_key();
    Initiator::begin(&identity(1), &peer, index(0x1111), offer, &mut random(seed)).unwrap()
}

/// Node 2's answer.
pub fn response(
    seed: u64,
    initiation: &[u8],
    settings: &SessionSettings,
    offer: Offer,
) -> (Received, Vec<u8>, Session) {
    respond(
        &identity(2),
        initiation,
        index(0x2222),
        START,
        settings,
        &mut random(!seed),
        |_| Ok::<_, Infallible>(offer),
    )
    .unwrap()
}

/// Both sides of a session after the handshake: initiator and responder.
pub fn sessions(seed: u64, policy: PostQuantum, settings: &SessionSettings) -> (Session, Session) {
    let offer = Offer::ours(policy);
    let (mut initiator, packet) = initiation(seed, &offer);
    let (_, answer, responder) = response(seed, &packet, settings, offer);
    let (_, initiator) = initiator.finish(START, settings, &answer).unwrap();
    (initiator, responder)
}

/// The same, with ML-KEM's secret mixed in on both sides.
pub fn mixed(seed: u64, settings: &SessionSettings) -> (Session, Session) {
    let (mut initiator, mut responder) = sessions(seed, PostQuantum::Required, settings);
    let secret = || SharedSecret::new([seed as u8; 32]);
    responder.mix(START, &secret()).unwrap();
    initiator.mix(START, &secret()).unwrap();
    (initiator, responder)
}
