//! Undoing a load that fails half-way: steps back, the last first.

use super::error::BpfError;

type Step = Box<dyn FnOnce() -> Result<(), BpfError>>;

/// What has been done so far, and how to undo it. Undoes it when dropped before [`Self::commit`].
#[derive(Default)]
pub struct Rollback {
    steps: Vec<Step>,
}

impl Rollback {
    /// Something was done, or is about to be; this undoes it. It must not mind if there is nothing to undo.
    pub fn push(&mut self, step: impl FnOnce() -> Result<(), BpfError> + 'static) {
        self.steps.push(Box::new(step));
    }

    /// All went well: nothing is to be undone any more.
    pub fn commit(mut self) {
        self.steps.clear();
    }

    /// Undoes everything, and says what could not be undone.
    pub fn undo(mut self) -> Vec<BpfError> {
        self.run()
    }

    fn run(&mut self) -> Vec<BpfError> {
        let mut errors = Vec::new();
        while let Some(step) = self.steps.pop() {
            errors.extend(step().err());
        }
        errors
    }
}

impl Drop for Rollback {
    fn drop(&mut self) {
        self.run();
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    #[test]
    fn undoes_the_last_step_first_unless_committed() {
        for (commit, expected) in [(false, vec![2, 1]), (true, vec![])] {
            let undone = Rc::new(RefCell::new(Vec::new()));
            let mut rollback = Rollback::default();
            for number in [1, 2] {
                let undone = Rc::clone(&undone);
                rollback.push(move || {
                    undone.borrow_mut().push(number);
                    Ok(())
                });
            }

            if commit {
                rollback.commit();
            } else {
                drop(rollback);
            }

            assert_eq!(*undone.borrow(), expected);
        }
    }
}
