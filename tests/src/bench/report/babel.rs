//! What is said about the measurements of Babel.

/// What is measured, and how.
pub const INTRODUCTION: &str = "\
Our Babel (`re6st-user node`) side by side with babeld and BIRD. `cargo xtask bench babel` measures it again in about five minutes and writes this
section; `babel-outage`, `babel-new-route`, `babel-learning`, `babel-steady` and `babel-huge` are its parts.

Everything is looked at from outside and alike for all: routes in the kernel's table (those that lead to a gateway, not refusals), packets that arrive, the processes' own time and memory.
Intervals are 4 s (Hello) and 16 s (update), links are veth pairs, all interfaces are of type wired, and babeld and BIRD heed the carrier.

- **silent-cut**, **carrier-loss**: a ring of four; a packet every 5 ms from one router to the opposite one. Each link leads through a bridge. The last link of the way in use is cut, so that the sender has to be told: taken
  out of the bridge at both ends, or down at both ends. The value is the longest time without a packet.
- **new-route**: four routers in a row, and in front of them a neighbour that announces a new prefix; until the fourth router's kernel has it.
- **learn**: a router knows 10,000 routes of 10,000 routers; until the kernel of a fresh router of its kind beside it has all of them. **lost**: packets that found its socket's buffer full. **learn-from-ours**: how the first router learned
  them, of a neighbour made of our own library, which spaces what it sends.
- **steady**: the same two, all routes of one router, calm, for four update intervals: share of a core, and bytes on the link between them, both ways. **hub** is the one with two neighbours, the other of
  which is made of our own library. Two of our kind tell each other by digest that nothing has changed; **A-of-B** is router A whose hub is B, where one is of another kind and everything is announced again each interval.
- **huge**: one router, four neighbours made of our own library, 50,000 routes of as many routers from each.

Contenders run at the same time where little happens; where much happens, ours runs alone and the other two together, a core each.
";
