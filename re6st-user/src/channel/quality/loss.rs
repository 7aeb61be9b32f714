//! How many of the packets one way are lost, by what came of each session.

use super::Receipt;

/// Receipts that are closer together than so many packets wait for the next.
const LEAST: u64 = 16;
/// The average is that of about so many packets.
const WINDOW: f64 = 192.0;
/// What came late makes good for what was counted as lost before, up to so many packets.
const CREDIT: u64 = 64;

/// The loss one way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Loss {
    /// Session, packets sent, packets received: up to where they are counted.
    counted: Option<(u32, u64, u64)>,
    average: f64,
    packets: f64,
}

impl Loss {
    /// Receipts of old sessions, or older ones of this, say nothing.
    pub fn count(&mut self, receipt: Receipt) {
        let sent = receipt.highest.saturating_add(1);
        let (session, sent_before, received_before) = match self.counted {
            Some(counted) if counted.0 == receipt.session => counted,
            _ => (receipt.session, 0, 0),
        };
        let Some(sent_now) = sent
            .checked_sub(sent_before)
            .filter(|count| *count >= LEAST)
        else {
            self.counted = Some((session, sent_before, received_before));
            return;
        };
        let received_now = receipt.received.saturating_sub(received_before);
        let lost = sent_now.saturating_sub(received_now);
        let credit = received_now.saturating_sub(sent_now).min(CREDIT);
        self.counted = Some((session, sent, receipt.received.saturating_sub(credit)));
        self.add(lost as f64, sent_now as f64);
    }

    fn add(&mut self, lost: f64, sent: f64) {
        self.packets += sent;
        let weight = match self.packets <= WINDOW {
            true => sent / self.packets,
            false => 1.0 - (1.0 - 1.0 / WINDOW).powf(sent),
        };
        self.average += (lost / sent - self.average) * weight;
    }

    /// In 65,536ths.
    pub fn average(&self) -> u16 {
        // as: saturates
        (self.average * 65_536.0) as u16
    }

    pub const fn forget_average(&mut self) {
        (self.average, self.packets) = (0.0, 0.0);
    }
}
