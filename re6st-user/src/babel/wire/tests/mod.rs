//! The wire format, as its receivers and senders see it.

mod round_trip;
