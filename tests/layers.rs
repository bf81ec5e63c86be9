//! The modules of `src` are layers: each uses those below it, and none above.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lowest first; the modules of one layer may use each other.
const LAYERS: [&[&str]; 6] = [
    &["error", "text"],
    &["machine", "report"],
    &["sys", "sync", "latch"],
    &["abi"],
    &["run"],
    &["capi", "api"],
];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The modules that a source names by `crate::`, in `use` and elsewhere, without those
/// of comments.
fn used(source: &str) -> BTreeSet<String> {
    let code: Vec<&str> = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let mut modules = BTreeSet::new();
    for path in code.join("\n").split("crate::").skip(1) {
        // `crate::{a, b::{c, d}}` names a and b.
        let names = match path.strip_prefix('{') {
            Some(group) => outermost(group),
            None => vec![path],
        };
        for name in names {
            let name = name.trim_start();
            let end = name.find(|c: char| !c.is_alphanumeric() && c != '_');
            modules.insert(name[..end.unwrap_or(name.len())].to_owned());
        }
    }
    modules
}

/// The parts of a group of imports, whose first brace is gone.
fn outermost(group: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' if depth == 0 => {
                parts.push(&group[from..at]);
                from = at + 1;
            }
            '}' if depth == 0 => {
                parts.push(&group[from..at]);
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// What a module uses that lies above it.
fn upward(module: &str, source: &str) -> Vec<String> {
    let own = layer(module).expect("a module of a layer");
    let above = |name: &String| layer(name).is_some_and(|layer| layer > own);
    used(source).into_iter().filter(above).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn nothing_is_imported_from_above() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&src, &mut found);
    let mut seen = BTreeSet::new();
    for path in found {
        let inside = path.strip_prefix(&src).expect("below src");
        let module = inside.iter().next().and_then(|name| name.to_str());
        let module = module.expect("UTF-8").trim_end_matches(".rs");
        if matches!(module, "lib" | "model") {
            continue;
        }
        let source = fs::read_to_string(&path).expect("UTF-8");
        let upward = upward(module, &source);
        assert!(upward.is_empty(), "{} uses {upward:?}", inside.display());
        seen.insert(module.to_owned());
    }
    let all = LAYERS.concat().into_iter().map(str::to_owned).collect();
    assert_eq!(seen, all);
}

#[test]
fn an_import_from_above_is_found() {
    assert_eq!(upward("machine", "use crate::run::core;"), ["run"]);
    assert_eq!(
        upward("sys", "use crate::{sync::now, run::{core, drive}};"),
        ["run"]
    );
    assert_eq!(upward("error", "fn f() { crate::text::copy() }"), [""; 0]);
    assert_eq!(upward("abi", "let next = crate::capi::next();"), ["capi"]);
    assert_eq!(
        upward("run", "/// See [`crate::capi`].\nuse crate::api::{a, b};"),
        ["api"]
    );
}
