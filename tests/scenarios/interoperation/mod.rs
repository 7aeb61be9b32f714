//! Our Babel among routers that run babeld or BIRD.

mod keys;
mod matrix;
mod mixed;
mod pair;
mod restart;
mod sources;
