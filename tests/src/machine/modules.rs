//! Kernel modules and what they depend on, without `depmod`: each module names its dependencies in itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// All modules of an unpacked kernel package, by name.
pub struct Modules {
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

/// A module, ready to be loaded.
#[derive(Debug)]
pub struct Module {
    /// As `lsmod` shows it.
    pub name: String,
    /// The ELF file, decompressed.
    pub content: Vec<u8>,
}

impl Modules {
    /// Finds the modules below `lib/modules/RELEASE` of a package.
    pub fn find(directory: &Path) -> Result<Self> {
        let mut modules = Self {
            files: BTreeMap::new(),
            built_in: BTreeSet::new(),
        };
        modules.add(directory)?;
        let list = directory.join("modules.builtin");
        let text =
            fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
        modules
            .built_in
            .extend(text.lines().filter_map(|line| name(Path::new(line))));
        Ok(modules)
    }

    fn add(&mut self, directory: &Path) -> Result<()> {
        let entries = fs::read_dir(directory)
            .with_context(|| format!("cannot read {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                self.add(&path)?;
            } else if let Some(name) = name(&path) {
                self.files.insert(name, path);
            }
        }
        Ok(())
    }

    /// The named modules and all they depend on, each after those it needs. Those built into the kernel are left out.
    pub fn with_dependencies(&self, wanted: &[&str]) -> Result<Vec<Module>> {
        let mut ordered = Vec::new();
        let mut seen = BTreeSet::new();
        for name in wanted {
            self.visit(name, &mut seen, &mut ordered)?;
        }
        Ok(ordered)
    }

    fn visit(
        &self,
        name: &str,
        seen: &mut BTreeSet<String>,
        ordered: &mut Vec<Module>,
    ) -> Result<()> {
        if self.built_in.contains(name) || !seen.insert(name.into()) {
            return Ok(());
        }
        let path = self
            .files
            .get(name)
            .with_context(|| format!("this kernel has no module {name}"))?;
        let content = decompressed(path)?;
        let needed = dependencies(&content)
            .with_context(|| format!("{} does not say what it needs", path.display()))?;
        for needed in &needed {
            self.visit(needed, seen, ordered)?;
        }
        ordered.push(Module {
            name: name.into(),
            content,
        });
        Ok(())
    }
}

/// A module's name from its file's: `net/ipv4/ip_gre.ko.xz` is `ip_gre`.
fn name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let (stem, extension) = file.split_once('.')?;
    matches!(extension, "ko" | "ko.xz").then(|| stem.replace('-', "_"))
}

fn decompressed(path: &Path) -> Result<Vec<u8>> {
    if path.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let output = Command::new("xz")
        .arg("--decompress")
        .arg("--stdout")
        .arg(path)
        .output()
        .context("cannot run xz (Debian package xz-utils)")?;
    if !output.status.success() {
        bail!(
            "xz cannot decompress {}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output.stdout)
}

/// The names in `depends=` of the section `.modinfo`, which holds strings that each end with a zero byte.
fn dependencies(module: &[u8]) -> Option<Vec<String>> {
    let text = module
        .split(|byte| *byte == 0)
        .find_map(|string| string.strip_prefix(b"depends="))?;
    let text = str::from_utf8(text).ok()?;
    Some(
        text.split(',')
            .filter(|name| !name.is_empty())
            .map(|name| name.replace('-', "_"))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop")]

    use std::path::Path;

    use super::{dependencies, name};

    #[test]
    fn name_of_a_module_is_that_of_its_file_with_underscores() {
        let names = [
            "net/ipv4/ip_gre.ko",
            "sch-netem.ko.xz",
            "modules.order",
            "a.kobj",
        ];

        let found = names.map(|file| name(Path::new(file)));

        let expected = [Some("ip_gre".into()), Some("sch_netem".into()), None, None];
        assert_eq!(found, expected);
    }

    #[test]
    fn dependencies_are_those_of_the_module_information() {
        let module = b"\x7fELF\0license=GPL\0depends=gre,ip6-udp-tunnel\0vermagic=6.1\0";

        let found = dependencies(module).unwrap();

        assert_eq!(found, ["gre", "ip6_udp_tunnel"]);
        assert_eq!(dependencies(b"\0depends=\0").unwrap(), [""; 0]);
        assert_eq!(dependencies(b"no module"), None);
    }
}
