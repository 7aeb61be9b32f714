//! The text of a configuration file.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(error) = re6st_user::config::Config::parse(text) {
        // it says something, and all of it can be shown
        assert!(!error.to_string().is_empty());
    }
});
