//! The files of the repository, and how a broken rule is told.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::code;

/// One text file; `code` is the text with comments and literals blanked, line for line.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The file's name without folder and extension.
    pub(crate) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.split('.').next().unwrap_or(name)
    }

    /// Whether the file is `place.rs` or lies in the folder `place/`.
    pub(crate) fn is_in(&self, place: &str) -> bool {
        self.path
            .strip_prefix(place)
            .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }

    /// The modules in files of their own that only tests see, as paths without extension.
    fn test_modules(&self) -> Vec<String> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let folder = match name {
            "lib.rs" | "main.rs" => folder.to_owned(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        let declared = self.code.split("#[cfg(test)]").skip(1).filter_map(|after| {
            let (_, module) = after
                .split_once("mod ")
                .filter(|(before, _)| before.trim_start().len() <= "pub(crate) ".len())?;
            module
                .split_once(';')
                .map(|(name, _)| name)
                .filter(|name| !name.contains('{'))
        });
        declared.map(|name| format!("{folder}/{name}")).collect()
    }

    /// The code without an inline test module, which comes last where there is one.
    pub(crate) fn code_outside_tests(&self) -> &str {
        let end = self.code.find("#[cfg(test)]\nmod tests {").unwrap_or(self.code.len());
        &self.code[..end]
    }

    /// `path:line` of each line that the predicate picks, with the line itself.
    pub(crate) fn lines_where(&self, lines: &str, broken: impl Fn(&str) -> bool) -> Vec<String> {
        let found = lines.lines().enumerate().filter(|(_, line)| broken(line));
        found.map(|(index, _)| self.place(index)).collect()
    }

    /// The place of a byte offset.
    pub(crate) fn at(&self, offset: usize) -> String {
        self.place(self.text[..offset].matches('\n').count())
    }

    fn place(&self, index: usize) -> String {
        format!(
            "{}:{}: {}",
            self.path,
            index + 1,
            self.text.lines().nth(index).unwrap_or_default().trim()
        )
    }
}

static FILES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let listed = run("git", &["ls-files", "--cached", "--others", "--exclude-standard"]);
    let mut paths: Vec<_> = listed.lines().map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    // A file that is no text, or that was removed and not yet committed, has no lines to look at.
    let sources = paths.into_iter().filter_map(|path| {
        let text = std::fs::read_to_string(root().join(&path)).ok()?;
        let code = if path.ends_with(".rs") {
            code::bare(&text)
        } else {
            text.clone()
        };
        Some(Source { path, text, code })
    });
    sources.collect()
});

/// Every text file that is, or would be, committed.
pub(crate) fn files() -> &'static [Source] {
    &FILES
}

/// The Rust files of the product: neither its tests nor the examples.
pub(crate) fn product() -> impl Iterator<Item = &'static Source> {
    PRODUCT.iter().copied()
}

static PRODUCT: LazyLock<Vec<&'static Source>> = LazyLock::new(|| {
    let folders = ["src/", "domain/src/", "tasks/src/", "webhooks/src/"];
    let rust = files()
        .iter()
        .filter(|file| file.is_rust() && folders.iter().any(|folder| file.path.starts_with(folder)));
    let rust: Vec<_> = rust.collect();
    let tests: Vec<_> = rust.iter().flat_map(|file| file.test_modules()).collect();
    rust.into_iter()
        .filter(|file| !tests.iter().any(|module| file.is_in(module)))
        .collect()
});

/// As Cargo says when the test runs, so that a test that was built elsewhere looks at this checkout.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
    });
    &ROOT
}

pub(crate) fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// What a program prints, run in the repository's root.
pub(crate) fn run(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).current_dir(root()).output();
    let output = output.unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {arguments:?}: {said}", program.display());
    String::from_utf8(output.stdout).expect("programs print text")
}

/// Fails with the rule and every place where it is broken.
#[track_caller]
pub(crate) fn keep(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "\n{rule}\n  {}\n", broken.join("\n  "));
}
