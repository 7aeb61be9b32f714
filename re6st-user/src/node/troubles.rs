//! What does not work, and what works but not well: said once when it begins or is another, once more when it works again,
//! and in `status` as long as it lasts. Pure.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::dataplane::bpf::{
    error::chain as in_one_line,
    load::present::{self, Missing},
};

/// Why something does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// For people.
    pub text: String,
    /// Whether it is looked at again each second; otherwise the kernel tells of whatever ends it.
    pub again: bool,
}

/// All troubles, by what they are about.
#[derive(Debug, Default)]
pub struct Troubles {
    hindrances: BTreeMap<String, Trouble>,
    doubts: BTreeMap<String, Trouble>,
}

impl Troubles {
    /// Notes what came of something: it works, waits for something that is told of, or failed and is tried again. Gives
    /// what to say, if that is new.
    #[must_use]
    pub fn note(&mut self, what: &str, outcome: Result<Option<String>>) -> Option<String> {
        let trouble = match outcome {
            Ok(None) => {
                let ended = self.hindrances.remove(what);
                return ended.map(|_| format!("{what}: works again"));
            }
            Ok(Some(text)) => Trouble { text, again: false },
            Err(error) => Trouble {
                text: in_one_line(error.as_ref()),
                again: true,
            },
        };
        insert(&mut self.hindrances, what, trouble)
    }

    /// Notes what does not work well, or that it does now. Gives what to say, if that is new.
    #[must_use]
    pub fn doubt(&mut self, what: &str, doubt: Option<Trouble>) -> Option<String> {
        let Some(doubt) = doubt else {
            self.doubts.remove(what);
            return None;
        };
        insert(&mut self.doubts, what, doubt)
    }

    /// The instance was loaded, which has told of what is missing.
    pub fn loaded(&mut self, missing: &Missing) {
        let was_missing = |what: &String| {
            what.starts_with(present::TUNNEL) || what.starts_with(present::INTERFACE)
        };
        self.hindrances.retain(|what, _| !was_missing(what));
        for (what, why) in missing {
            let text = why.clone();
            // who takes a tunnel's route away and puts it back tells; of other reasons nobody may tell
            let again = what.starts_with(present::TUNNEL);
            let trouble = Trouble { text, again };
            self.hindrances.insert(what.clone(), trouble);
        }
    }

    /// A plain interface that is not wanted any more: nothing is amiss with it.
    pub fn forget(&mut self, interface: &str) {
        self.hindrances.remove(interface);
        for what in ["address", "rp_filter"] {
            self.doubts.remove(&format!("{interface} {what}"));
        }
    }

    /// Whether something does not work.
    pub fn hinder(&self) -> bool {
        !self.hindrances.is_empty()
    }

    /// Whether one thing does not work.
    pub fn hinders(&self, what: &str) -> bool {
        self.hindrances.contains_key(what)
    }

    /// Whether something is to be looked at each second.
    pub fn want_attention(&self) -> bool {
        self.all().any(|trouble| trouble.again)
    }

    /// For people.
    pub fn warnings(&self) -> Vec<String> {
        self.all().map(|trouble| trouble.text.clone()).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Trouble> {
        self.hindrances.values().chain(self.doubts.values())
    }
}

/// What to say of it, unless it is there already.
fn insert(
    troubles: &mut BTreeMap<String, Trouble>,
    what: &str,
    trouble: Trouble,
) -> Option<String> {
    if troubles.get(what) == Some(&trouble) {
        return None;
    }
    let text = trouble.text.clone();
    troubles.insert(what.to_owned(), trouble);
    Some(text)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn is_said_once_until_it_is_another_and_when_it_ends() {
        let mut troubles = Troubles::default();
        let said = |text: &str| Some(text.to_owned());

        assert_eq!(troubles.note("a", Ok(said("waits"))), said("waits"));
        assert!(!troubles.want_attention(), "whatever ends it is told");
        assert_eq!(troubles.note("a", Ok(said("waits"))), None);
        assert_eq!(troubles.note("a", Err(anyhow!("failed"))), said("failed"));
        assert!(troubles.want_attention());
        assert_eq!(troubles.warnings(), ["failed"]);
        assert_eq!(troubles.note("a", Ok(None)), said("a: works again"));
        assert_eq!(troubles.note("a", Ok(None)), None);
        assert!(troubles.warnings().is_empty());
    }

    #[test]
    fn the_end_of_a_doubt_is_nothing_to_say() {
        let mut troubles = Troubles::default();
        let doubt = Trouble {
            text: "strict".to_owned(),
            again: true,
        };
        assert_eq!(troubles.doubt("a", Some(doubt.clone())), Some(doubt.text));
        assert!(!troubles.hinder() && troubles.want_attention());
        assert_eq!(troubles.doubt("a", None), None);
        assert!(troubles.warnings().is_empty());
    }

    #[test]
    fn a_load_tells_anew_what_is_missing() {
        let mut troubles = Troubles::default();
        let (lost, late) = (present::tunnel_key("lost"), present::tunnel_key("late"));
        let missing = Missing::from([(lost, "no route".to_owned())]);
        troubles.loaded(&missing);
        assert_eq!(troubles.warnings(), ["no route"]);
        let missing = Missing::from([(late, "no way".to_owned())]);
        troubles.loaded(&missing);
        assert_eq!(troubles.warnings(), ["no way"]);
    }
}
