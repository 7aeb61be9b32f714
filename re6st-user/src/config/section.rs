//! Checks the section `[registry]`.

use std::path::PathBuf;

use super::{DEFAULT_STATIC_KEY, Registry, mistake::Wrong, raw, raw::Text};

/// The section `[registry]`.
pub fn registry(raw: &raw::Registry) -> Result<Registry, Wrong> {
    let host = raw.url.get_ref().strip_prefix("https://");
    let written = |host: &str| {
        !host.starts_with(['/', ':']) && host.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if !host.is_some_and(|host| !host.is_empty() && written(host)) {
        let problem = "expected an address such as \"https://registry.example/\"";
        return Err(Wrong::value("registry.url", &raw.url, problem));
    }
    let key = file("registry.key", &raw.key)?;
    let static_key = match &raw.static_key {
        Some(name) => file("registry.static-key", name)?,
        None => key.with_file_name(DEFAULT_STATIC_KEY),
    };
    Ok(Registry {
        url: raw.url.get_ref().clone(),
        ca: file("registry.ca", &raw.ca)?,
        certificate: file("registry.cert", &raw.cert)?,
        key,
        static_key,
    })
}

fn file(key: &str, text: &Text) -> Result<PathBuf, Wrong> {
    match text.get_ref().as_str() {
        "" => Err(Wrong::value(key, text, "expected the name of a file")),
        name => Ok(PathBuf::from(name)),
    }
}
