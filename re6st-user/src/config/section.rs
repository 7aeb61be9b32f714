//! Checks the sections `[babel]` and `[registry]`.

use std::{path::PathBuf, time::Duration};

use toml::{Spanned, Value};

use super::{
    Babel, Mac, MacAlgorithm, Registry, check::interface_names, mistake::Wrong, raw, raw::Text,
};

/// Time between two Hellos unless configured (RFC 8966 appendix B).
const DEFAULT_HELLO_INTERVAL: Duration = Duration::from_secs(4);
/// Bytes of the longest MAC key: the block size of SHA-256 (RFC 2104), the key size of BLAKE2s (RFC 7693).
const fn maximum_key(algorithm: MacAlgorithm) -> usize {
    match algorithm {
        MacAlgorithm::Blake2s128 => 32,
        MacAlgorithm::HmacSha256 => 64,
    }
}

/// The section `[babel]`.
pub fn babel(raw: &raw::Babel) -> Result<Babel, Wrong> {
    Ok(Babel {
        interfaces: interface_names("babel.interfaces", &raw.interfaces)?,
        hello_interval: match &raw.hello_interval {
            Some(seconds) => hello_interval(seconds)?,
            None => DEFAULT_HELLO_INTERVAL,
        },
        mac: raw.mac.as_ref().map(mac).transpose()?,
    })
}

/// On the wire it is a 16-bit number of centiseconds (RFC 8966 section 4.6.5).
fn hello_interval(seconds: &Spanned<f64>) -> Result<Duration, Wrong> {
    match *seconds.get_ref() {
        value if (0.01..=655.35).contains(&value) => Ok(Duration::from_secs_f64(value)),
        _ => {
            let problem = "expected seconds from 0.01 to 655.35";
            Err(Wrong::value("babel.hello-interval", seconds, problem))
        }
    }
}

fn mac(raw: &raw::Mac) -> Result<Mac, Wrong> {
    let algorithm = match raw.r#type.get_ref().as_str() {
        "blake2s128" => MacAlgorithm::Blake2s128,
        "hmac-sha256" => MacAlgorithm::HmacSha256,
        _ => {
            let problem = "expected \"blake2s128\" or \"hmac-sha256\"";
            return Err(Wrong::value("babel.mac.type", &raw.r#type, problem));
        }
    };
    let maximum = maximum_key(algorithm);
    let key = hexadecimal(&raw.key)
        .filter(|key| (1..=maximum).contains(&key.len()))
        .ok_or_else(|| {
            let problem = format!(
                "expected a string of 1 to {maximum} bytes in hexadecimal, two digits each"
            );
            Wrong::hidden("babel.mac.key", &raw.key, problem)
        })?;
    Ok(Mac { algorithm, key })
}

fn hexadecimal(value: &Spanned<Value>) -> Option<Vec<u8>> {
    let text = value.get_ref().as_str()?;
    if text.len() % 2 != 0 {
        return None;
    }
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            u8::try_from(high << 4 | low).ok()
        })
        .collect()
}

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
    Ok(Registry {
        url: raw.url.get_ref().clone(),
        ca: file("registry.ca", &raw.ca)?,
        certificate: file("registry.cert", &raw.cert)?,
        key: file("registry.key", &raw.key)?,
    })
}

fn file(key: &str, text: &Text) -> Result<PathBuf, Wrong> {
    match text.get_ref().as_str() {
        "" => Err(Wrong::value(key, text, "expected the name of a file")),
        name => Ok(PathBuf::from(name)),
    }
}
