//! What belongs to one machine or one network is not committed.

use crate::repository::{files, keep};

#[test]
fn no_file_names_a_package_registry() {
    let hosts = [
        concat!("crates", ".io"),
        concat!("pypi", ".org"),
        concat!("python", "hosted.org"),
        concat!("registry.", "npmjs"),
        concat!("deb.", "debian.org"),
        concat!("proxy.", "golang.org"),
    ];

    // Cargo writes the name of its index into the lock file by itself.
    let texts = files().iter().filter(|file| file.path != "Cargo.lock");
    let broken =
        texts.flat_map(|file| file.lines_where(&file.text, |line| hosts.iter().any(|host| line.contains(host))));

    keep(
        "packages are named, not the hosts that they come from",
        broken.collect(),
    );
}

#[test]
fn no_file_holds_a_path_of_one_machine() {
    let folders = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let absolute = |line: &str| {
        folders.iter().any(|folder| {
            line.match_indices(folder).any(|(at, _)| {
                !line[..at].ends_with(|letter: char| letter.is_alphanumeric() || "/.}_-".contains(letter))
            })
        })
    };

    let broken = files().iter().flat_map(|file| file.lines_where(&file.text, absolute));

    keep("no absolute path of somebody's machine", broken.collect());
}

#[test]
fn no_file_holds_a_merge_conflict() {
    let marks = [concat!("<<<", "<<<< "), concat!(">>>", ">>>> ")];

    let broken = files()
        .iter()
        .flat_map(|file| file.lines_where(&file.text, |line| marks.iter().any(|mark| line.starts_with(mark))));

    keep("a merge conflict is resolved before the commit", broken.collect());
}
