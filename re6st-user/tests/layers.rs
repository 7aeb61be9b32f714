//! The house has floors, and nobody looks up: each folder of the source uses only those below it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, ItemMod, ItemUse, UseTree,
    visit::{self, Visit},
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// From the top down. `OBJECT`, the programs, is no folder but everybody's.
const FLOORS: [&str; 18] = [
    "cli",
    "node",
    "tunnel",
    "trace",
    "description",
    "membership",
    "registry",
    "routing",
    "dataplane",
    "config",
    "babel",
    "certificate",
    "io",
    "printable",
    "route",
    "rate",
    "time",
    "OBJECT",
];

/// What a file of production code uses of its own crate.
#[derive(Default)]
struct Uses(BTreeSet<String>);

const OURS: [&str; 2] = ["crate", "re6st_user"];

impl Uses {
    fn roots(&mut self, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => drop(self.0.insert(path.ident.to_string())),
            UseTree::Name(name) => drop(self.0.insert(name.ident.to_string())),
            UseTree::Rename(name) => drop(self.0.insert(name.ident.to_string())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.roots(tree)),
            UseTree::Glob(_) => {}
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
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if let UseTree::Path(path) = &item.tree
            && OURS.iter().any(|ours| path.ident == ours)
            && !is_test(&item.attrs)
        {
            self.roots(&path.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let mut segments = path.segments.iter();
        let first = segments.next().map(|segment| &segment.ident);
        if first.is_some_and(|first| OURS.iter().any(|ours| first == ours))
            && let Some(second) = segments.next()
        {
            self.0.insert(second.ident.to_string());
        }
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

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| *floor == name)
}

#[test]
fn no_folder_uses_one_above_it() -> Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    files_below(&source, &mut files)?;
    let mut wrong = Vec::new();
    let mut arrows = 0;
    for file in files {
        let place = file.strip_prefix(&source)?;
        let first = place.components().next().map(|first| first.as_os_str());
        let own = first.and_then(|first| Path::new(first).file_stem()?.to_str());
        let own = own.unwrap_or_default();
        if matches!(own, "main" | "lib") {
            continue;
        }
        let mut uses = Uses::default();
        uses.visit_file(&syn::parse_file(&fs::read_to_string(&file)?)?);
        for used in uses.0.iter().filter(|used| *used != own) {
            arrows += 1;
            // within `cli`, which is the command's crate, `crate::cli` is itself
            if floor(own).is_none() || floor(used).is_none_or(|used| Some(used) < floor(own)) {
                wrong.push(format!("{} uses {used}", place.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        arrows > 100,
        "only {arrows} found: is the source elsewhere?"
    );
    Ok(())
}
