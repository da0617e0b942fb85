//! What the files of `src` define, and which items of one another they use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

/// A module's path below the crate root. The path of the root is empty.
pub(super) type Module = Vec<String>;

/// The files whose items a file uses, each with the path of one use.
pub(super) type Uses = BTreeMap<Module, String>;

/// The files of the crate, by module.
pub(super) struct Sources {
    files: BTreeMap<Module, File>,
}

/// A file without its test modules.
#[derive(Default)]
struct File {
    /// The names of its items, including those of inline modules.
    items: BTreeSet<String>,
    /// Its imports, by the name that each has in this file.
    imports: BTreeMap<String, Import>,
    /// The paths in its code.
    paths: BTreeSet<Vec<String>>,
    /// The modules in other files that it declares for tests only.
    test_modules: BTreeSet<String>,
}

struct Import {
    path: Vec<String>,
    /// Whether other modules can import it from here.
    is_reexport: bool,
}

impl Sources {
    /// Reads all files of `src`, except tests.
    pub(super) fn read(src: &Path) -> Self {
        let mut files = BTreeMap::new();
        read(src, src, &mut files);
        remove_tests(&mut files);
        Self { files }
    }

    pub(super) fn modules(&self) -> impl Iterator<Item = &Module> {
        self.files.keys()
    }

    /// Returns the paths of this crate that a file names, as absolute paths. A re-export counts
    /// only if the file itself uses its name.
    pub(super) fn paths(&self, module: &Module) -> BTreeSet<Vec<String>> {
        let file = &self.files[module];
        let names: BTreeSet<&String> = file.paths.iter().filter_map(|path| path.first()).collect();
        let is_used = |name: &String, import: &Import| !import.is_reexport || names.contains(name);
        let imported = file.imports.iter().filter(|(name, import)| is_used(name, import));
        let paths = imported.map(|(_, import)| &import.path).chain(&file.paths);
        paths.filter_map(|path| self.absolute(module, path)).collect()
    }

    /// Returns what a file uses. An item that is imported through a re-export belongs to the file
    /// that defines it.
    pub(super) fn uses(&self, module: &Module) -> Uses {
        let paths = self.paths(module).into_iter();
        let used = paths.filter_map(|path| Some((self.resolve(&path, 0)?, path.join("::"))));
        used.filter(|(used, _)| used != module).collect()
    }

    /// Converts a path to one from the crate root. Returns `None` if it leads to another crate or
    /// begins with an imported name.
    fn absolute(&self, module: &Module, path: &[String]) -> Option<Vec<String>> {
        let up = path.iter().take_while(|name| *name == "super").count();
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([&module[..], &path[1..]].concat()),
            "super" => Some([&module[..module.len().checked_sub(up)?], &path[up..]].concat()),
            child => {
                let child = [&module[..], &[child.to_owned()]].concat();
                let names_child = path.len() > 1 && self.files.contains_key(&child);
                names_child.then(|| [&module[..], path].concat())
            }
        }
    }

    /// Returns the file that defines the item with this absolute path.
    fn resolve(&self, path: &[String], depth: usize) -> Option<Module> {
        assert!(depth < 16, "re-exports lead in a circle at {path:?}");
        let length = (0..=path.len()).rev().find(|end| self.files.contains_key(&path[..*end]))?;
        let (module, rest) = (path[..length].to_vec(), &path[length..]);
        let Some(name) = rest.first() else { return Some(module) };
        let file = &self.files[&module];
        match file.imports.get(name).filter(|_| !file.items.contains(name)) {
            Some(import) => {
                let target = [&import.path[..], &rest[1..]].concat();
                self.resolve(&self.absolute(&module, &target)?, depth + 1)
            }
            None => Some(module),
        }
    }
}

fn read(src: &Path, folder: &Path, files: &mut BTreeMap<Module, File>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            read(src, &path, files);
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let relative = path.strip_prefix(src).expect("below src").with_extension("");
        let names = relative.iter().map(|name| name.to_str().expect("a name").to_owned());
        let mut module: Module = names.collect();
        if module.last().is_some_and(|name| name == "mod" || name == "lib") {
            module.pop();
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        let parsed =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        files.insert(module, File::of(&parsed));
    }
}

/// Removes the files that others declare as `#[cfg(test)] mod …;`, and the files below them.
fn remove_tests(files: &mut BTreeMap<Module, File>) {
    let declared = |(module, file): (&Module, &File)| {
        let below = |name: &String| [&module[..], std::slice::from_ref(name)].concat();
        file.test_modules.iter().map(below).collect::<Vec<_>>()
    };
    let tests: Vec<Module> = files.iter().flat_map(declared).collect();
    files.retain(|module, _| !tests.iter().any(|test| module.starts_with(test)));
}

impl File {
    fn of(parsed: &syn::File) -> Self {
        let mut file = Self::default();
        file.visit_file(parsed);
        file
    }

    fn import(&mut self, tree: &UseTree, prefix: &[String], is_reexport: bool) {
        let with = |name: &dyn ToString| [prefix, &[name.to_string()]].concat();
        let (path, name) = match tree {
            UseTree::Path(path) => {
                return self.import(&path.tree, &with(&path.ident), is_reexport);
            }
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, prefix, is_reexport));
            }
            UseTree::Name(name) if name.ident == "self" => {
                (prefix.to_vec(), prefix.last().cloned().unwrap_or_default())
            }
            UseTree::Name(name) => (with(&name.ident), name.ident.to_string()),
            UseTree::Rename(name) => (with(&name.ident), name.rename.to_string()),
            _ => (prefix.to_vec(), format!("{}::*", prefix.join("::"))),
        };
        // Several traits may be imported as `_`.
        let name = if name == "_" { path.join("::") } else { name };
        self.imports.insert(name, Import { path, is_reexport });
    }
}

impl<'ast> Visit<'ast> for File {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, name): (&[Attribute], _) = match item {
            Item::Mod(item) => (&item.attrs, None),
            Item::Use(item) => {
                let is_reexport = !matches!(item.vis, Visibility::Inherited);
                return self.import(&item.tree, &[], is_reexport);
            }
            Item::Fn(item) => (&item.attrs, Some(item.sig.ident.to_string())),
            Item::Struct(item) => (&item.attrs, Some(item.ident.to_string())),
            Item::Enum(item) => (&item.attrs, Some(item.ident.to_string())),
            Item::Trait(item) => (&item.attrs, Some(item.ident.to_string())),
            Item::Type(item) => (&item.attrs, Some(item.ident.to_string())),
            Item::Const(item) => (&item.attrs, Some(item.ident.to_string())),
            Item::Static(item) => (&item.attrs, Some(item.ident.to_string())),
            Item::Impl(item) => (&item.attrs, None),
            _ => (&[], None),
        };
        if attributes.iter().any(is_test) {
            if let Item::Mod(module) = item
                && module.content.is_none()
            {
                self.test_modules.insert(module.ident.to_string());
            }
            return;
        }
        self.items.extend(name);
        visit::visit_item(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.paths.insert(path.segments.iter().map(|part| part.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// Searches the tokens of a macro call for paths, because they are not parsed.
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let tokens = call.tokens.to_string().replace(" :: ", "::");
        let is_path =
            |character: char| character.is_alphanumeric() || matches!(character, '_' | ':');
        let words =
            tokens.split(|character| !is_path(character)).filter(|word| word.contains("::"));
        let names = |word: &str| word.trim_matches(':').split("::").map(str::to_owned).collect();
        self.paths.extend(words.map(names));
    }

    /// Ignores the path in `pub(in path)`, which uses nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

/// Returns whether an attribute is `#[cfg(test)]`.
fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
}
