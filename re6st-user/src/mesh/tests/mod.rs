//! The rules of the mesh, each in a world as small as it takes.
#![expect(clippy::expect_used, reason = "a test may end there")]

mod any;
mod bootstrap;
mod bounds;
mod draws;
mod gains;
mod introductions;
mod messages;
mod renewal;
mod served;
mod settings;
mod world;
