//! The code matches the module tables of `ARCHITECTURE.md`.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use self::source::{Module, Sources, Uses};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns what each module may import, according to the table with this header row.
fn allowed(heading: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(project().join("ARCHITECTURE.md")).expect("the map");
    let (_, table) = text.split_once(heading).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let plain = |cell: &str| cell.trim().trim_matches('`').to_owned();
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|');
        let module = plain(cells.next().expect("a module"));
        let imports = cells.next().expect("its imports").split(',').map(plain);
        (module, imports.filter(|name| !name.is_empty()).collect())
    })
    .collect()
}

/// Asserts that the modules below `parent` are those of the table, and import only what it allows.
fn assert_imports(parent: &[&str], table: &BTreeMap<String, BTreeSet<String>>) {
    let sources = Sources::read(&project().join("src"));
    let below = |module: &Module| {
        let inside = module.iter().zip(parent).all(|(name, parent)| name == parent);
        inside.then(|| module.get(parent.len()).cloned()).flatten()
    };
    let mut found = BTreeSet::new();
    for module in sources.modules().filter(|module| *module != &["main"]) {
        let Some(name) = below(module) else { continue };
        let may = table.get(&name).unwrap_or_else(|| panic!("`{name}` is missing in the table"));
        for path in sources.paths(module) {
            let Some(used) = below(&path).filter(|used| *used != name) else { continue };
            assert!(may.contains(&used), "{module:?} imports {path:?}");
        }
        found.insert(name);
    }
    assert_eq!(found, table.keys().cloned().collect(), "the table lists what is there");
}

#[test]
fn modules_import_only_what_the_table_allows() {
    assert_imports(&[], &allowed("| module | may import |"));
}

#[test]
fn layers_of_the_proxy_import_only_what_is_below_them() {
    assert_imports(&["proxy"], &allowed("| layer of `proxy` | may import |"));
}

/// Returns all files that a file uses, directly or indirectly.
fn reach<'u>(from: &'u Module, uses: &'u BTreeMap<Module, Uses>) -> BTreeSet<&'u Module> {
    let (mut found, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(module) = open.pop() {
        open.extend(uses[module].keys().filter(|used| found.insert(*used)));
    }
    found
}

#[test]
fn no_two_files_import_each_other_in_a_circle() {
    let sources = Sources::read(&project().join("src"));
    let uses: BTreeMap<Module, Uses> =
        sources.modules().map(|module| (module.clone(), sources.uses(module))).collect();
    let mut circles = Vec::new();
    for module in uses.keys() {
        for (used, path) in &uses[module] {
            if reach(used, &uses).contains(module) {
                circles.push(format!("{} uses {path}", module.join("::")));
            }
        }
    }
    assert!(circles.is_empty(), "circles among:\n{}", circles.join("\n"));
}

fn files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            files(&entry.expect("an entry").path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_owned());
    }
}

/// The project's own files of Rust code, with their texts.
fn all_sources() -> impl Iterator<Item = (PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["src", "tests", "benches", "fuzz"] {
        files(&project().join(folder), &mut found);
    }
    let own = found.into_iter().filter(|path| !path.iter().any(|part| part == "target"));
    own.map(|path| {
        let source = std::fs::read_to_string(&path).expect("a source file");
        (path, source)
    })
}

#[test]
fn every_file_of_policy_keeps_from_clock_disk_and_network() {
    let mut found = Vec::new();
    files(&project().join("src/policy"), &mut found);
    assert!(found.len() > 10);
    for path in found {
        let source = std::fs::read_to_string(&path).expect("a source file");
        for word in
            ["Instant::now", "SystemTime", "std::fs", "tokio", "async fn", "TcpStream", "std::env"]
        {
            assert!(!source.contains(word), "{} must do without {word}", path.display());
        }
    }
}

/// A pipe may never end, and the file may be another one by the second look. `config::read_file`
/// has a bound, and the reload keeps the text that it has read.
#[test]
fn control_reads_files_within_a_bound_only() {
    let mut found = Vec::new();
    files(&project().join("src/control"), &mut found);
    for path in found {
        let source = std::fs::read_to_string(&path).expect("a source file");
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        // These end.
        let code = code
            .replace("read_to_string(\"/proc/self/status\")", "")
            .replace("File::open(\"/dev/null\")", "");
        for call in ["fs::read(", "read_to_string(", "File::open("] {
            let is_test = path.iter().any(|part| part == "tests" || part == "tests.rs");
            assert!(is_test || !code.contains(call), "{} calls {call}", path.display());
        }
    }
}

#[test]
fn lines_have_at_most_100_columns_and_files_at_most_400_lines() {
    for (path, source) in all_sources() {
        assert!(source.lines().count() <= 400, "{} is too long", path.display());
        for (number, line) in source.lines().enumerate() {
            let is_short = line.chars().count() <= 100;
            assert!(is_short, "{}:{} is too wide", path.display(), number + 1);
        }
    }
}

/// The blocks of a source's imports: each path's first name.
fn imports(source: &str) -> Vec<Vec<&str>> {
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    let mut is_inside = false;
    for line in source.lines().filter(|line| !line.starts_with([' ', '}', '#'])) {
        if let Some(path) = line.strip_prefix("use ") {
            let first = path.split([':', ';']).next().unwrap_or(path);
            match blocks.last_mut().filter(|_| is_inside) {
                Some(block) => block.push(first),
                None => blocks.push(vec![first]),
            }
        }
        is_inside = line.starts_with("use ");
    }
    blocks
}

#[test]
fn imports_stand_in_three_blocks_of_std_other_crates_and_our_own() {
    for (path, source) in all_sources() {
        let kinds = imports(&source).into_iter().map(|block| {
            let kind = |first: &str| match first {
                "std" => 0,
                "crate" | "super" | "self" => 2,
                _ => 1,
            };
            let kind_of_first = kind(block[0]);
            let is_one = block.iter().all(|first| kind(first) == kind_of_first);
            assert!(is_one, "{}: {block:?} stand in one block", path.display());
            kind_of_first
        });
        let kinds: Vec<i32> = kinds.collect();
        let is_sorted = kinds.is_sorted_by(|left, right| left < right);
        assert!(is_sorted, "{}: imports in the order {kinds:?}", path.display());
    }
}

/// The name and the length of each function in a source that rustfmt has formatted, without those
/// that say why they are long.
fn functions_without_a_reason(source: &str) -> impl Iterator<Item = (&str, usize)> {
    let lines: Vec<&str> = source.lines().collect();
    (0..lines.len()).filter_map(move |first| {
        let line = lines[first];
        let indent = line.len() - line.trim_start().len();
        let words = line.split_whitespace().take_while(|word| *word != "fn");
        let name = line.split_once("fn ")?.1.split(['(', '<']).next()?;
        let is_function = words.clone().all(|word| {
            word.starts_with("pub") || word.starts_with("in") || ["const", "async"].contains(&word)
        });
        if !is_function || words.count() == line.split_whitespace().count() {
            return None;
        }
        // rustfmt puts the closing brace below the first character of the declaration.
        let rest = lines[first..].iter();
        let ends = |line: &&str| line.trim_end_matches(';').ends_with('}') || line.ends_with(';');
        let at = |line: &&&str| line.len() - line.trim_start().len() == indent && ends(line);
        let length = 1 + rest.take_while(|line| !at(line)).count();
        let before = lines[..first].iter().rev();
        let mut comments = before.take_while(|line| line.trim_start().starts_with(['/', '#']));
        (!comments.any(|line| line.contains("Longer than 60 lines"))).then_some((name, length))
    })
}

#[test]
fn functions_of_more_than_60_lines_say_why() {
    let mut functions = 0;
    for (path, source) in all_sources() {
        for (name, length) in functions_without_a_reason(&source) {
            functions += 1;
            assert!(length <= 60, "{}: {name} has {length} lines", path.display());
        }
    }
    assert!(functions > 1000, "{functions} functions were found");
}
