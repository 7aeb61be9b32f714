//! The house has floors, and nobody looks up: each folder of the source uses only those below it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Ident, ItemMod, ItemUse, UseTree,
    visit::{self, Visit},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// From the top down. `OBJECT`, the programs, is no folder but everybody's.
const FLOORS: &[&str] = &[
    "cli",
    "node",
    "tunnel",
    "trace",
    "description",
    "membership",
    "port_mapping",
    "channel",
    "registry",
    "routing",
    "dataplane",
    "config",
    "babel",
    "mesh",
    "certificate",
    "io",
    "printable",
    "route",
    "rate",
    "octets",
    "counters",
    "time",
    "OBJECT",
];

/// The same of `babel`: the speaker, the machines it hands on to, and what these are made of.
const BABEL: [&str; 23] = [
    "recording",
    "speaker",
    "restart",
    "request",
    "announce",
    "rib",
    "link",
    "authentication",
    "wire",
    "context",
    "martian",
    "counters",
    "ids",
    "output",
    "input",
    "message",
    "settings",
    "limits",
    "filter",
    "origins",
    "timers",
    "random",
    "quantities",
];

/// What a file of production code uses of its own crate: the first two names of each path.
#[derive(Default)]
struct Uses {
    /// The module it is.
    module: Vec<String>,
    found: BTreeSet<Vec<String>>,
}

const OURS: [&str; 2] = ["crate", "re6st_user"];

impl Uses {
    fn found(&mut self, path: &[String]) {
        let (first, mut rest) = match path.split_first() {
            Some((first, rest)) => (first.as_str(), rest),
            None => return,
        };
        let mut whole = match first {
            "super" | "self" => self.module.clone(),
            _ if OURS.contains(&first) => Vec::new(),
            _ => return,
        };
        if first == "super" {
            whole.pop();
        }
        while let Some(("super", after)) = rest.split_first().map(|(it, after)| (&**it, after)) {
            whole.pop();
            rest = after;
        }
        whole.extend_from_slice(rest);
        whole.truncate(2);
        self.found.insert(whole);
    }

    fn tree(&mut self, before: &[String], tree: &UseTree) {
        let with = |name: &Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            UseTree::Name(name) => self.found(&with(&name.ident)),
            UseTree::Rename(name) => self.found(&with(&name.ident)),
            UseTree::Group(group) => {
                let trees = group.items.iter();
                trees.for_each(|tree| self.tree(before, tree));
            }
            UseTree::Glob(_) => self.found(before),
        }
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list();
        attribute.path().is_ident("cfg") && list.is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_test(&module.attrs) {
            self.module.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_test(&item.attrs) {
            self.tree(&[], &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter();
        self.found(&Vec::from_iter(segments.map(|it| it.ident.to_string())));
        visit::visit_path(self, path);
    }
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_tests = path.file_stem().is_some_and(|name| name == "tests");
        if path.is_dir() && !is_tests {
            files_below(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_tests {
            files.push(path);
        }
    }
    Ok(())
}

fn module_of(place: &Path) -> Vec<String> {
    let path = place.with_extension("");
    let names = path.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "mod").collect()
}

/// Files below a module use only what stands below them on these floors, which are the names after the module's. Gives the
/// number of arrows found.
fn assert_nobody_looks_up(module: &[&str], floors: &[&str]) -> Result<usize> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    files_below(
        &module
            .iter()
            .fold(source.clone(), |path, name| path.join(name)),
        &mut files,
    )?;
    let floor = |name: &str| floors.iter().position(|floor| *floor == name);
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for file in files {
        let place = file.strip_prefix(&source)?;
        let mut uses = Uses {
            module: module_of(place),
            ..Uses::default()
        };
        let Some(own) = uses.module.get(module.len()).cloned() else {
            continue;
        };
        if matches!(own.as_str(), "main" | "lib") {
            continue;
        }
        uses.visit_file(&syn::parse_file(&fs::read_to_string(&file)?)?);
        let within = |path: &&Vec<String>| path.iter().zip(module).all(|(one, other)| one == other);
        let used = uses.found.iter().filter(within);
        for used in used
            .filter_map(|path| path.get(module.len()))
            .filter(|used| **used != own)
        {
            arrows += 1;
            // within `cli`, which is the command's crate, `crate::cli` is itself
            if floor(&own).is_none() || floor(used).is_none_or(|used| Some(used) < floor(&own)) {
                wrong.push(format!("{} uses {used}", place.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(arrows)
}

#[test]
fn no_folder_uses_one_above_it() -> Result<()> {
    let arrows = assert_nobody_looks_up(&[], FLOORS)?;
    assert!(
        arrows > 100,
        "only {arrows} found: is the source elsewhere?"
    );
    Ok(())
}

#[test]
fn no_machine_of_babel_uses_one_above_it() -> Result<()> {
    let arrows = assert_nobody_looks_up(&["babel"], &BABEL)?;
    assert!(arrows > 50, "only {arrows} found: is the source elsewhere?");
    Ok(())
}
