//! Routes, and maps that follow them or refuse to.

use super::{Fib, RouteKey, Write};

/// Routes as the maps have them. A change whose writes are not all taken is taken back, in the opposite order, so packets
/// find what they found before or what they would have found after. If that is refused too, it is what is written before
/// anything else.
#[derive(Clone, Debug)]
pub struct Applied {
    fib: Fib,
    /// What is still to be taken back, the last first.
    reversals: Vec<Write>,
}

impl From<Fib> for Applied {
    /// The maps have it all.
    fn from(fib: Fib) -> Self {
        Self {
            fib,
            reversals: Vec::new(),
        }
    }
}

impl Applied {
    /// The routes.
    pub const fn fib(&self) -> &Fib {
        &self.fib
    }

    /// Adds a route, changes it, or (`None`) removes it. `write` carries out one write or has no effect.
    ///
    /// # Errors
    /// The first write that was refused; then all routes are what they were.
    pub fn set<E>(
        &mut self,
        key: RouteKey,
        next_hop: Option<u32>,
        mut write: impl FnMut(Write) -> Result<(), E>,
    ) -> Result<(), E> {
        self.settle(&mut write)?;
        let (before, table) = (self.fib.get(key), self.fib.source_table(key));
        let writes = self.fib.change(key, next_hop);
        for (taken, step) in writes.iter().enumerate() {
            if let Err(error) = write(*step) {
                self.fib.take_back(key, before, table);
                let reversals = writes.iter().take(taken);
                self.reversals = reversals.map(|step| step.reversed()).collect();
                // what is refused now is written first the next time
                let _ = self.settle(&mut write);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes back what still has to be.
    ///
    /// # Errors
    /// A write that was refused.
    pub fn settle<E>(&mut self, mut write: impl FnMut(Write) -> Result<(), E>) -> Result<(), E> {
        while let Some(step) = self.reversals.last() {
            write(*step)?;
            self.reversals.pop();
        }
        Ok(())
    }
}
