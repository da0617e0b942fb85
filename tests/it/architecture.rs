//! The table of imports in `ARCHITECTURE.md` is what the code does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What each module may import, by the table.
fn allowed(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let (_, table) = text.split_once("| module | may import |").expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let names = |cell: &str| {
        cell.split(',')
            .map(|name| name.trim().trim_matches('`').to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    };
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|');
        let module = cells.next().expect("a module").trim().trim_matches('`').to_owned();
        (module, names(cells.next().expect("its imports")))
    })
    .collect()
}

fn sources(path: &Path, found: &mut Vec<String>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            sources(&entry.expect("an entry").path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(std::fs::read_to_string(path).expect("a source file"));
    }
}

/// The modules of the crate that a source names, by `crate::`.
fn imports(source: &str) -> BTreeSet<String> {
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    let named = |line: &str| {
        let names = line.split("crate::").skip(1).map(|rest| {
            rest.split(|character: char| !character.is_alphanumeric() && character != '_').next()
        });
        names.flatten().map(str::to_owned).collect::<Vec<_>>()
    };
    code.flat_map(named).filter(|name| !name.is_empty()).collect()
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = allowed(
        &std::fs::read_to_string(project.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md"),
    );
    let mut modules = BTreeSet::new();
    for entry in std::fs::read_dir(project.join("src")).expect("the sources") {
        let path = entry.expect("an entry").path();
        let module = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        if ["main", "lib"].contains(&module.as_str()) {
            continue;
        }
        let may =
            table.get(&module).unwrap_or_else(|| panic!("`{module}` is missing in the table"));
        let mut found = Vec::new();
        sources(&path, &mut found);
        for name in found.iter().flat_map(|source| imports(source)) {
            // `pub(in crate::cli)` and the like name the module itself.
            assert!(
                name == module || may.contains(&name),
                "`{module}` imports `{name}`, which the table does not allow"
            );
        }
        modules.insert(module);
    }
    assert_eq!(modules, table.keys().cloned().collect(), "the table lists what is there");
}

#[test]
fn every_file_of_policy_keeps_from_clock_disk_and_network() {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy"), &mut found);
    assert!(found.len() > 10);
    for source in found.iter().filter(|source| !source.contains("proptest")) {
        for word in
            ["Instant::now", "SystemTime", "std::fs", "tokio", "async fn", "TcpStream", "std::env"]
        {
            assert!(!source.contains(word), "policy must do without {word}");
        }
    }
}
