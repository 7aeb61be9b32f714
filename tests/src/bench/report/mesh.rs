//! What is said about the measurements of the mesh.

/// What is measured, and how.
pub const INTRODUCTION: &str = "\
Twelve nodes in cities around the world, whose delays are those of `tests/data`, by an emulator in userspace; some links lose 1 % of the packets. The nodes know the registry and nothing else.
`cargo xtask bench mesh` measures it again in about a quarter of an hour and writes this section; `mesh-start`, `mesh-outage` and `mesh-idle` are its parts.

All nodes share two cores with the emulator, and each pair is probed ten times a second, so no outage is known better than to 100 ms.

- **start**: from the start of all nodes at the same time until each has answered each. Enrolment is not part of it.
- **outage**: a node is cut off without a word and killed, one after the other (`client-count` 3, so that most ways lead over others); each value is how long two of the others did not reach each other, if they noticed it at all.
  re6stnet waits for four of babeld's Hello intervals of 15 s, which is stated and was not measured.
- **idle**: what a node sends while no traffic flows, its share of a core, and its memory; each value is of one node.
";
