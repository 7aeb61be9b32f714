//! What must survive a restart cannot be written: the node goes on, and `status` says so until it can.

use std::{fs, time::Duration};

use anyhow::Result;
use testbed::cleanup::wait_until;

use crate::meshes::speaking;

/// A file that was given up is begun again after a minute.
const PATIENCE: Duration = Duration::from_secs(90);

/// Both files of the state directory, and what is said of each.
const WORDS: [(&str, &str); 2] = [
    ("babel.json.new", "nothing can be written in"),
    ("distances.new", "will not know its feasibility distances"),
];

#[test]
fn a_node_that_cannot_keep_its_state_says_so_until_it_can() -> Result<()> {
    let (_internet, [a]) = speaking(["a"], &[])?;
    let state = a.host.directory().join("state");
    for (scratch, _) in WORDS {
        // no file can be made there, not even by root
        fs::create_dir_all(state.join(scratch))?;
    }
    let shown = |words: &str| a.warning(words).is_ok_and(|warning| warning.is_some());

    let node = a.start_node()?;

    for (_, words) in WORDS {
        assert!(wait_until(PATIENCE, || shown(words)), "{:?}", a.status());
        assert!(node.stderr().contains(words), "{}", node.stderr());
    }
    for (scratch, words) in WORDS {
        fs::remove_dir(state.join(scratch))?;
        assert!(wait_until(PATIENCE, || !shown(words)), "{:?}", a.status());
    }
    assert!(state.join("babel.json").is_file() && state.join("distances").is_file());
    Ok(())
}
