//! Counters by name: what each pure core counts is a list of names with a line each.

/// Makes a structure `Counters` of these names.
macro_rules! counters {
    ($($(#[$text:meta])* $name:ident),+ $(,)?) => {
        /// One number for each thing worth counting, since the start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
        pub struct Counters {
            $($(#[$text])* pub $name: u64,)+
        }

        impl Counters {
            /// All by name, in order.
            pub fn by_name(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}
